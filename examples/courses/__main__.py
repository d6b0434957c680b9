"""``python -m examples.courses [URL]``: everybody wants the last seats, all at once."""

import asyncio
import sys

from examples.courses.enrolment import COURSES_MAX
from examples.courses.school import OpenCourse, Subscribe, make_school
from headwater import App, RefusedError

STUDENTS, SEATS, COURSES = 60, 20, 15


async def main(storage: str) -> None:
    """Let many students race for few seats, and one student for many courses."""
    async with make_school(storage) as school:
        for number in range(COURSES):
            await school.send(OpenCourse(f"c{number}", SEATS))
        race = [Subscribe(f"s{number}", "c0") for number in range(STUDENTS)]
        print(f"{STUDENTS} students, {SEATS} seats: {await _accepted(school, race)} got one")
        race = [Subscribe("ada", f"c{number}") for number in range(1, COURSES)]
        print(
            f"One student, {len(race)} courses, {COURSES_MAX} allowed: "
            f"{await _accepted(school, race)} taken"
        )


async def _accepted(school: App, commands: list[Subscribe]) -> int:
    answers = await asyncio.gather(
        *(school.send(command) for command in commands), return_exceptions=True
    )
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, RefusedError):
            raise answer
    return sum(answer is None for answer in answers)


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "memory://"))
