"""Which input a storage was filled from, so that a second run does not mix two of them."""

from uuid import UUID

from examples.shop.intake.context import intake
from headwater import Aggregate, Command, Event, RefusedError, Repository, applies

SOURCE_ID = "purchases"


class InputOpened(Event):
    """An input is being read; its first purchase stands for it."""

    first_order_id: UUID


class OtherInputError(RefusedError):
    """The storage was filled from another input."""

    def __init__(self, known: UUID, offered: UUID) -> None:
        self.known, self.offered = known, offered
        super().__init__(
            "The storage was filled from another input: its first purchase differs. Give the "
            "same input again, or a new storage."
        )


class Source(Aggregate[str]):
    """The one input of a storage."""

    first_order_id: UUID | None = None

    def open(self, first_order_id: UUID) -> None:
        """Take *first_order_id*'s input as the one, or see that it is.

        Raises:
            OtherInputError: it is not.
        """
        if self.first_order_id is None:
            self.record(InputOpened(first_order_id))
        elif self.first_order_id != first_order_id:
            raise OtherInputError(self.first_order_id, first_order_id)

    @applies
    def _opened(self, event: InputOpened) -> None:
        self.first_order_id = event.first_order_id


class OpenInput(Command[None]):
    """Begin with an input, or go on with it."""

    first_order_id: UUID


@intake.handler
async def open_input(command: OpenInput, sources: Repository[Source]) -> None:
    source = await sources.find(SOURCE_ID)
    if source is None:
        source = Source(SOURCE_ID)
        sources.add(source)
    source.open(command.first_order_id)
