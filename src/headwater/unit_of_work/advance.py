"""What a subscription commits together with the effects of the events it has handed over."""

from typing import Final

import msgspec

from headwater.errors import ConflictError, RowConflictError
from headwater.ports.changes import CheckpointMove, RowChange, RowGuard


class Advance(msgspec.Struct, frozen=True):
    """How far a subscription advances, what it keeps of that in rows, and what must hold for it."""

    checkpoints: tuple[CheckpointMove, ...] = ()
    rows: tuple[RowChange, ...] = ()
    guards: tuple[RowGuard, ...] = ()

    def refused_by(self, conflict: ConflictError) -> bool:
        """Return whether *conflict* is about this, not about the effects: no rerun can help."""
        if not isinstance(conflict, RowConflictError):
            return False
        ours = {(guard.collection, guard.key) for guard in self.guards}
        ours |= {(row.collection, row.key) for row in self.rows}
        return (conflict.collection, conflict.key) in ours


NO_ADVANCE: Final = Advance()
