"""Values that are unique move between the rows of an inline projection within one unit of work."""

import pytest

from headwater import App, BoundedContext, Command, Event, Projection, ReadModel, applies
from headwater.errors import DuplicateValueError
from headwater.ports.storage import Storage
from headwater.unit_of_work.unit import UnitOfWork


class Named(Event, context="mail"):
    user: str
    address: str


class Left(Event, context="mail"):
    user: str


class Mailbox(ReadModel, key="user", unique=("address",), context="mail"):
    user: str
    address: str


class Mailboxes(Projection[Mailbox], name="mailboxes", inline=True):
    @applies
    def named(self, event: Named, row: Mailbox | None) -> Mailbox:
        return Mailbox(event.user, event.address)

    @applies
    def left(self, event: Left, row: Mailbox | None) -> None:
        return None


class Move(Command[None], context="mail"):
    events: tuple[Named | Left, ...]


def app_on(storage: Storage) -> App:
    mail = BoundedContext("mail")
    mail.register(Named, Left)
    mail.projection(Mailboxes)

    @mail.handler
    async def move(command: Move, unit: UnitOfWork) -> None:
        unit.append("mail.all-1", *command.events)

    app = App("mail", storage=storage)
    app.include(mail)
    return app


async def addresses(app: App) -> dict[str, str]:
    async with app.event_store.unit_of_work() as unit:
        return {row.user: row.address for row in await unit.collection(Mailbox).find()}


@pytest.mark.parametrize(
    ("moves", "expected"),
    [
        ([Named("z", "t"), Named("a", "q"), Named("z", "x")], {"a": "q", "z": "x"}),
        ([Named("a", "q"), Named("z", "x"), Named("a", "p")], {"a": "p", "z": "x"}),
        (
            [Named("a", "t"), Named("b", "x"), Named("c", "y"), Named("a", "z")],
            {"a": "z", "b": "x", "c": "y"},
        ),
        ([Named("b", "t"), Left("a"), Named("b", "x")], {"b": "x"}),
    ],
)
async def test_whoever_gives_a_value_up_is_written_before_who_gets_it(
    storage: Storage, moves: list[Named | Left], expected: dict[str, str]
) -> None:
    async with app_on(storage) as app:
        await app.send(Move((Named("a", "x"), Named("b", "y"))))
        if "b" not in expected:
            expected = {**expected, "b": "y"}

        await app.send(Move(tuple(moves)))

        assert await addresses(app) == expected


async def test_rows_that_swap_their_values_do_so_in_two_units(storage: Storage) -> None:
    async with app_on(storage) as app:
        await app.send(Move((Named("a", "x"), Named("b", "y"))))
        with pytest.raises(DuplicateValueError):
            await app.send(Move((Named("a", "t"), Named("b", "x"), Named("a", "y"))))

        await app.send(Move((Named("a", "t"), Named("b", "x"))))
        await app.send(Move((Named("a", "y"),)))

        assert await addresses(app) == {"a": "y", "b": "x"}
