"""What happens, and what a decision on it has to know.

A student takes at most `COURSES_MAX` courses, and a course holds at most as many students as it
has seats. Neither a course nor a student could keep both rules alone: a subscription belongs to
both. So its event carries the tags of both, and each rule reads the events of its own tag.
"""

from typing import Final

from headwater import DecisionModel, Event, EventCriteria, applies

COURSES_MAX: Final = 10


class CourseOpened(Event):
    course_id: str
    seats: int


class SeatsChanged(Event):
    course_id: str
    seats: int


class StudentSubscribed(Event):
    student_id: str
    course_id: str


class StudentUnsubscribed(Event):
    student_id: str
    course_id: str


def course_tag(course_id: str) -> str:
    return f"course:{course_id}"


def student_tag(student_id: str) -> str:
    return f"student:{student_id}"


class Seats(DecisionModel):
    """How many seats a course has, and who sits there."""

    opened: bool = False
    seats: int = 0
    students: set[str] = set()  # noqa: RUF012 - each instance gets its own

    def __init__(self, course_id: str) -> None:
        super().__init__(EventCriteria(course_tag(course_id)))

    @property
    def full(self) -> bool:
        return len(self.students) >= self.seats

    @applies
    def _opened(self, event: CourseOpened) -> None:
        self.opened, self.seats = True, event.seats

    @applies
    def _changed(self, event: SeatsChanged) -> None:
        self.seats = event.seats

    @applies
    def _subscribed(self, event: StudentSubscribed) -> None:
        self.students.add(event.student_id)

    @applies
    def _unsubscribed(self, event: StudentUnsubscribed) -> None:
        self.students.discard(event.student_id)


class Timetable(DecisionModel):
    """How many courses a student takes. What becomes of these courses does not matter here."""

    courses: int = 0

    def __init__(self, student_id: str) -> None:
        super().__init__(EventCriteria(student_tag(student_id)))

    @property
    def full(self) -> bool:
        return self.courses >= COURSES_MAX

    @applies
    def _subscribed(self, event: StudentSubscribed) -> None:
        self.courses += 1

    @applies
    def _unsubscribed(self, event: StudentUnsubscribed) -> None:
        self.courses -= 1
