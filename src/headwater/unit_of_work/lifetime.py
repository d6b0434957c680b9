"""The lifetime of a unit of work: who is inside, whether it may still commit, when it is over."""

from headwater.errors import UnitOfWorkError


class Lifetime:
    """Open until it is closed; messages enter and leave; a failure inside can poison it."""

    def __init__(self, *, around: "Lifetime | None" = None) -> None:
        self._around = around
        self._poison: BaseException | None = None
        self._under_way = 0
        self._done = False
        self.conflicted = False

    def enter(self) -> None:
        """Let a message join; `leave` must follow, and nothing is committed before it.

        Raises:
            UnitOfWorkError: the unit is committed, or is being committed.
        """
        self.check_open()
        self._under_way += 1

    def leave(self) -> None:
        """Note that a message that joined has ended."""
        self._under_way -= 1

    def poison(self, error: BaseException) -> None:
        """Refuse to commit from now on, because *error* left something half done."""
        self._poison = self._poison or error

    def note_conflict(self) -> None:
        """Remember that a conflict was this unit's own, so that running again may help."""
        unit: Lifetime | None = self
        while unit is not None:
            unit.conflicted = True
            unit = unit._around

    def close(self) -> None:
        """Let nothing more join or be collected; what was not committed is dropped."""
        self._done = True

    def check_open(self) -> None:
        """Raise `UnitOfWorkError` if the unit was committed or merged."""
        if self._done:
            raise UnitOfWorkError(
                "This unit of work is done. Don't keep repositories or collections beyond the "
                "handler that they were handed to."
            )

    def check_whole(self) -> None:
        """Raise `UnitOfWorkError` if something inside failed and was swallowed, or goes on."""
        if self._poison is not None:
            raise UnitOfWorkError(
                f"A nested message failed with {self._poison!r} and the handler went on. Its unit "
                f"of work is half done and can't be committed; let the error out, or ask for the "
                f"Mediator and send with separate=True and an id: that has a commit of its own."
            ) from self._poison
        if self._under_way:
            raise UnitOfWorkError(
                "A message that was sent inside this unit of work is still under way when its "
                "handler ends, so nothing was committed. Await what you send."
            )
