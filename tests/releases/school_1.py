"""The first release of a school: pupils are enrolled, and each is sent letters."""

from headwater import BoundedContext, Collection, Event, Projection, ReadModel, applies

school = BoundedContext("school")


class Enrolled(Event, name="school.enrolled"):
    pupil: str
    number: int


class Letters(ReadModel, key="pupil"):
    pupil: str
    numbers: tuple[int, ...] = ()


class Pupil(ReadModel, key="pupil"):
    pupil: str
    numbers: tuple[int, ...] = ()


@school.subscriber(page_events=20)
async def write_letters(event: Enrolled, letters: Collection[Letters]) -> None:
    before = await letters.get(event.pupil) or Letters(event.pupil)
    letters.put(Letters(event.pupil, (*before.numbers, event.number)))


@school.projection
class Pupils(Projection[Pupil]):
    @applies
    def enrolled(self, event: Enrolled, row: Pupil | None) -> Pupil:
        return Pupil(event.pupil, (*(row.numbers if row else ()), event.number))


def event_of(pupil: str, number: int) -> object:
    """Return what this release records."""
    return Enrolled(pupil, number)
