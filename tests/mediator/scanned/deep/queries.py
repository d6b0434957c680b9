from headwater.mediator import handles
from tests.mediator.scanned.deep.handlers import marked as marked_elsewhere
from tests.mediator.scanned.requests import Count

ANOTHER_NAME = marked_elsewhere


@handles()
async def count(query: Count) -> int:
    return 41
