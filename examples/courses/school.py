"""The school: commands, what they decide on, and the app."""

from examples.courses.enrolment import (
    COURSES_MAX,
    CourseOpened,
    Seats,
    SeatsChanged,
    StudentSubscribed,
    StudentUnsubscribed,
    Timetable,
    course_tag,
    student_tag,
)
from headwater import App, BoundedContext, Command, RefusedError, UnitOfWork

courses = BoundedContext("courses")
courses.register(Seats, Timetable)


class OpenCourse(Command[None]):
    course_id: str
    seats: int


class ChangeSeats(Command[None]):
    course_id: str
    seats: int


class Subscribe(Command[None]):
    student_id: str
    course_id: str


class Unsubscribe(Command[None]):
    student_id: str
    course_id: str


class CourseExistsError(RefusedError):
    """The course is there already."""


class UnknownCourseError(RefusedError):
    """There is no such course."""


class CourseFullError(RefusedError):
    """Every seat of the course is taken."""


class TimetableFullError(RefusedError):
    """The student takes as many courses as a student may."""


class AlreadySubscribedError(RefusedError):
    """The student sits in the course already."""


class TooFewSeatsError(RefusedError):
    """More students sit in the course than there would be seats."""


@courses.handler
async def open_course(command: OpenCourse, unit: UnitOfWork) -> None:
    course = await unit.load(Seats(command.course_id))
    if course.opened:
        raise CourseExistsError(command.course_id)
    opened = CourseOpened(command.course_id, command.seats)
    unit.append(_course(command.course_id), opened, tags=(course_tag(command.course_id),))


@courses.handler
async def change_seats(command: ChangeSeats, unit: UnitOfWork) -> None:
    course = await unit.load(Seats(command.course_id))
    if not course.opened:
        raise UnknownCourseError(command.course_id)
    if command.seats < len(course.students):
        raise TooFewSeatsError(command.course_id)
    changed = SeatsChanged(command.course_id, command.seats)
    unit.append(_course(command.course_id), changed, tags=(course_tag(command.course_id),))


@courses.handler
async def subscribe(command: Subscribe, unit: UnitOfWork) -> None:
    course = await unit.load(Seats(command.course_id))
    if not course.opened:
        raise UnknownCourseError(command.course_id)
    if command.student_id in course.students:
        raise AlreadySubscribedError(command.student_id, command.course_id)
    if course.full:
        raise CourseFullError(command.course_id)
    timetable = await unit.load(Timetable(command.student_id))
    if timetable.full:
        raise TimetableFullError(f"{command.student_id} takes {COURSES_MAX} courses")
    _append(unit, StudentSubscribed(command.student_id, command.course_id))


@courses.handler
async def unsubscribe(command: Unsubscribe, unit: UnitOfWork) -> None:
    course = await unit.load(Seats(command.course_id))
    if command.student_id in course.students:
        _append(unit, StudentUnsubscribed(command.student_id, command.course_id))


def _append(unit: UnitOfWork, event: StudentSubscribed | StudentUnsubscribed) -> None:
    # An event has to stand in some stream; what guards the rules is its tags.
    tags = (course_tag(event.course_id), student_tag(event.student_id))
    unit.append(f"courses.subscription-{event.course_id}:{event.student_id}", event, tags=tags)


def _course(course_id: str) -> str:
    return f"courses.course-{course_id}"


def make_school(storage: str) -> App:
    """Return the school on *storage*, such as ``sqlite:///school.db``."""
    app = App("school", storage=storage)
    app.include(courses)
    return app
