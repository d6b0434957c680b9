"""The outbox of a storage that has one."""

from headwater.ports.outbox import StagedEvents


def staged_events_of(storage: object) -> StagedEvents | None:
    """Return the outbox of *storage*, or of the one that it stands around; None without any."""
    while storage is not None:
        found: StagedEvents | None = getattr(storage, "outbox", None)
        if found is not None:
            return found
        storage = getattr(storage, "inner", None)
    return None
