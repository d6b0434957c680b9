"""An app whose commands append what a projection counts, inline or not."""

from headwater import App, BoundedContext, Command, Projection
from headwater.ports.storage import Storage
from headwater.unit_of_work.unit import UnitOfWork
from tests.projections.tallies import Counted, Forgot, InlineTallies, Tally, app_of


class Count(Command[None], context="tally"):
    name: str
    times: int = 1


class Forget(Command[None], context="tally"):
    name: str


def inline_app(storage: str | Storage, projection: type[Projection[Tally]] = InlineTallies) -> App:
    app = app_of(projection, storage)
    commands = BoundedContext("tally")

    @commands.handler
    async def handle_count(command: Count, unit: UnitOfWork) -> None:
        unit.append(f"tally.all-{command.name}", *[Counted(command.name)] * command.times)

    @commands.handler
    async def handle_forget(command: Forget, unit: UnitOfWork) -> None:
        unit.append(f"tally.all-{command.name}", Forgot(command.name))

    app.contexts[0].include(commands)
    return app
