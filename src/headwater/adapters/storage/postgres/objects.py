"""Whether all is there that migrations have made: somebody may have dropped a part of it."""

import re
from collections.abc import Iterable
from typing import Final

from headwater.adapters.storage.postgres.connections import Connection

_CREATE: Final = re.compile(
    r"^CREATE (?:UNIQUE )?(?:TABLE|VIEW|SEQUENCE|TYPE|FUNCTION) @schema@\.(\w+)", re.MULTILINE
)
_INDEX: Final = re.compile(r"^CREATE (?:UNIQUE )?INDEX (\w+)", re.MULTILINE)
_FOUND: Final = """
SELECT array(
    SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace(quote_ident($1))
    UNION ALL
    SELECT proname FROM pg_proc WHERE pronamespace = to_regnamespace(quote_ident($1))
)::text[]
"""


def made_by(scripts: Iterable[str]) -> frozenset[str]:
    """Return the names of the tables, indexes, functions and so on that *scripts* make."""
    return frozenset(
        name for text in scripts for pattern in (_CREATE, _INDEX) for name in pattern.findall(text)
    )


async def missing(connection: Connection, schema: str, wanted: frozenset[str]) -> tuple[str, ...]:
    """Return the names among *wanted* that are not in *schema*, sorted."""
    found: list[str] = await connection.fetchval(_FOUND, schema)
    return tuple(sorted(wanted - set(found)))
