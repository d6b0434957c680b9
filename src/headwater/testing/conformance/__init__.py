"""The suites that every adapter passes: one per port, one test per promise.

A storage adapter is tested by a class that says how to make one::

    class TestMemory(StorageConformance):
        @pytest.fixture
        def new_storage(self, clock: UnsteadyClock) -> Storage:
            return MemoryStorage(clock)

It needs pytest and pytest-asyncio with ``asyncio_mode = "auto"``.
"""

import pytest

pytest.register_assert_rewrite(
    *(
        f"{__name__}.{module}"
        for module in (
            "administration",
            "builders",
            "changes",
            "key_store",
            "leases",
            "limits",
            "log",
            "restoration",
            "rows",
            "storage",
        )
    )
)

from headwater.testing.conformance.administration import (  # noqa: E402
    AdministrationConformance,
)
from headwater.testing.conformance.changes import ChangesConformance  # noqa: E402
from headwater.testing.conformance.key_store import KeyStoreConformance  # noqa: E402
from headwater.testing.conformance.leases import LeasesConformance  # noqa: E402
from headwater.testing.conformance.limits import LimitsConformance  # noqa: E402
from headwater.testing.conformance.log import LogConformance  # noqa: E402
from headwater.testing.conformance.restoration import RestorationConformance  # noqa: E402
from headwater.testing.conformance.rows import RowsConformance  # noqa: E402
from headwater.testing.conformance.storage import (  # noqa: E402
    SharedConformance,
    StorageConformance,
)
from headwater.testing.conformance.suite import StorageSuite, UnsteadyClock  # noqa: E402

__all__ = [
    "AdministrationConformance",
    "ChangesConformance",
    "KeyStoreConformance",
    "LeasesConformance",
    "LimitsConformance",
    "LogConformance",
    "RestorationConformance",
    "RowsConformance",
    "SharedConformance",
    "StorageConformance",
    "StorageSuite",
    "UnsteadyClock",
]
