"""The rules of the school hold, whoever else is at it at the same moment."""

import asyncio
from collections.abc import Iterable
from random import Random
from typing import Any

import pytest

from examples.courses.enrolment import COURSES_MAX, Seats, StudentSubscribed, Timetable
from examples.courses.school import (
    AlreadySubscribedError,
    ChangeSeats,
    CourseFullError,
    OpenCourse,
    Subscribe,
    TimetableFullError,
    TooFewSeatsError,
    UnknownCourseError,
    Unsubscribe,
    make_school,
)
from headwater import App, Command, RefusedError


async def race(school: App, commands: Iterable[Command[Any]]) -> list[BaseException]:
    """Send all at once; return the refusals, and raise what is none."""
    answers = await asyncio.gather(*(school.send(one) for one in commands), return_exceptions=True)
    refusals = [answer for answer in answers if isinstance(answer, BaseException)]
    for refusal in refusals:
        if not isinstance(refusal, RefusedError):
            raise refusal
    return refusals


async def seated(school: App, course_id: str) -> list[str]:
    """Return who sits in a course, as the log says."""
    async with school.event_store.unit_of_work() as unit:
        return sorted((await unit.load(Seats(course_id))).students)


async def test_a_course_that_does_not_exist_takes_nobody(school: App) -> None:
    with pytest.raises(UnknownCourseError):
        await school.send(Subscribe("ada", "logic"))


async def test_the_last_seat_is_taken_once(school: App) -> None:
    await school.send(OpenCourse("logic", 1))

    refusals = await race(school, [Subscribe(f"s{number}", "logic") for number in range(30)])

    assert {type(refusal) for refusal in refusals} == {CourseFullError}
    assert len(refusals) == 29
    assert len(await seated(school, "logic")) == 1


async def test_a_student_takes_no_more_courses_than_allowed(school: App) -> None:
    courses = [f"c{number}" for number in range(COURSES_MAX + 5)]
    await race(school, [OpenCourse(course, 3) for course in courses])

    refusals = await race(school, [Subscribe("ada", course) for course in courses])

    assert [type(refusal) for refusal in refusals] == [TimetableFullError] * 5
    assert sum([await seated(school, course) == ["ada"] for course in courses]) == COURSES_MAX


async def test_one_seat_is_one_students_alone(school: App) -> None:
    await school.send(OpenCourse("logic", 5))

    refusals = await race(school, [Subscribe("ada", "logic") for _ in range(5)])

    assert [type(refusal) for refusal in refusals] == [AlreadySubscribedError] * 4
    assert await seated(school, "logic") == ["ada"]


async def test_a_seat_that_was_given_up_can_be_taken(school: App) -> None:
    await school.send(OpenCourse("logic", 1))
    await school.send(Subscribe("ada", "logic"))
    await school.send(Unsubscribe("ada", "logic"))

    await school.send(Subscribe("bob", "logic"))

    assert await seated(school, "logic") == ["bob"]
    with pytest.raises(TooFewSeatsError):
        await school.send(ChangeSeats("logic", 0))


async def test_no_limit_is_ever_passed_when_everybody_does_everything(school: App) -> None:
    chance = Random(7)
    courses, students = [f"c{n}" for n in range(12)], [f"s{n}" for n in range(12)]
    await race(school, [OpenCourse(course, 4) for course in courses])
    pairs = [(chance.choice(students), chance.choice(courses)) for _ in range(150)]
    doing = [Subscribe, Subscribe, Subscribe, Unsubscribe]

    await race(school, [chance.choice(doing)(*pair) for pair in pairs])

    taken: dict[str, set[str]] = {}
    takes: dict[str, set[str]] = {}
    async for event in school.event_store.read_all():
        told = event.payload
        course, student = getattr(told, "course_id", ""), getattr(told, "student_id", "")
        if isinstance(told, StudentSubscribed):
            taken.setdefault(course, set()).add(student)
            takes.setdefault(student, set()).add(course)
        elif student:
            taken[course].remove(student)
            takes[student].remove(course)
        assert len(taken.get(course, ())) <= 4
        assert len(takes.get(student, ())) <= COURSES_MAX


def test_a_decision_model_can_be_tried_without_a_storage() -> None:
    timetable = Timetable("ada")

    for number in range(COURSES_MAX):
        assert not timetable.full
        timetable.apply(StudentSubscribed("ada", f"c{number}"))

    assert timetable.full


@pytest.mark.parametrize("storage_url", ["sqlite", "postgresql"], indirect=True)
async def test_two_processes_on_one_database_keep_the_rules_together(
    school: App, storage_url: str
) -> None:
    courses = [f"c{number}" for number in range(COURSES_MAX + 4)]
    await race(school, [OpenCourse(course, 2) for course in courses])
    # As apps of two processes: they have nothing in common but the database.
    async with make_school(storage_url) as other:
        refusals = await asyncio.gather(
            race(school, [Subscribe("ada", course) for course in courses[::2]]),
            race(other, [Subscribe("ada", course) for course in courses[1::2]]),
            race(school, [Subscribe(f"a{number}", "c0") for number in range(6)]),
            race(other, [Subscribe(f"b{number}", "c0") for number in range(6)]),
        )

    assert len(await seated(school, "c0")) == 2
    assert sum(["ada" in await seated(school, course) for course in courses]) == COURSES_MAX
    assert {type(refusal) for refused in refusals for refusal in refused} <= {
        CourseFullError,
        TimetableFullError,
    }
