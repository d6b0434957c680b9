from headwater.mediator import Next, Strategy, behaves, handles, hears
from tests.mediator.scanned import table
from tests.mediator.scanned.requests import Close, Count, Open
from tests.mediator.shop import OrderPlaced

HEARD: list[str] = []


@table.handler
async def registered(command: Open) -> str:
    return "registered"


@handles(inline=True)
def marked(command: Close) -> str:
    return "marked"


also_marked = marked


@hears(strategy=Strategy.ISOLATED)
class Listener:
    async def handle(self, event: OrderPlaced) -> None:
        HEARD.append("heard")


@behaves(on=Count)
async def around(message: object, next: Next[object, int]) -> int:
    return 1 + await next(message)
