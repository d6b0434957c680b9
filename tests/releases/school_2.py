"""The second release: one event has a newer version, another one is new."""

from headwater import BoundedContext, Collection, Event, Projection, ReadModel, applies

school = BoundedContext("school")
school.upcasters.change_fields("school.enrolled", version=1, add={"year": 1})


class Enrolled(Event, name="school.enrolled", version=2):
    pupil: str
    number: int
    year: int


class Moved(Event, name="school.moved"):
    pupil: str
    number: int


class Letters(ReadModel, key="pupil"):
    pupil: str
    numbers: tuple[int, ...] = ()


class Pupil(ReadModel, key="pupil"):
    pupil: str
    numbers: tuple[int, ...] = ()


@school.subscriber(page_events=20)
async def write_letters(event: Enrolled | Moved, letters: Collection[Letters]) -> None:
    before = await letters.get(event.pupil) or Letters(event.pupil)
    letters.put(Letters(event.pupil, (*before.numbers, event.number)))


@school.projection
class Pupils(Projection[Pupil]):
    @applies
    def enrolled(self, event: Enrolled, row: Pupil | None) -> Pupil:
        return Pupil(event.pupil, (*(row.numbers if row else ()), event.number))

    @applies
    def moved(self, event: Moved, row: Pupil | None) -> Pupil:
        return Pupil(event.pupil, (*(row.numbers if row else ()), event.number))


def event_of(pupil: str, number: int) -> object:
    """Return what this release records: now this, now that."""
    return Enrolled(pupil, number, 2) if number % 2 else Moved(pupil, number)
