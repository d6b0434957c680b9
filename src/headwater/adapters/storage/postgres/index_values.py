"""What a row is found by when only its JSON is at hand, as `Rows.prepare_collections` says."""

from collections.abc import Mapping
from typing import Final

from headwater.ports.rows import IndexedField, IndexKind

_NUL: Final = r"'\u0000'"
_BASE64: Final = "'^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$'"
_VALUES: Final[Mapping[IndexKind, str]] = {
    IndexKind.TEXT: "CASE json_typeof(m) WHEN 'string' THEN m #>> '{}' END",
    IndexKind.INTEGER: (
        "CASE WHEN json_typeof(m) = 'boolean' THEN (m #>> '{}')::boolean::int::bigint "
        "WHEN json_typeof(m) = 'number' AND m::text ~ '^-?[0-9]{1,18}$' THEN (m::text)::bigint "
        "WHEN json_typeof(m) = 'number' AND m::text ~ '^-?[0-9]{19}$' AND (m::text)::numeric "
        "BETWEEN -9223372036854775808 AND 9223372036854775807 THEN (m::text)::bigint END"
    ),
    IndexKind.REAL: ("CASE json_typeof(m) WHEN 'number' THEN (m::text)::double precision END"),
    IndexKind.BYTES: (
        f"CASE WHEN json_typeof(m) = 'string' AND m #>> '{{}}' ~ {_BASE64} "
        f"THEN decode(m #>> '{{}}', 'base64') END"
    ),
}


def value_in(data: str, field: IndexedField) -> str:
    """Return the SQL for what *field* is in a row whose JSON the expression *data* names."""
    # PostgreSQL can't take a member out of a document that holds a NUL anywhere.
    document = (
        f"CASE WHEN strpos({data}::text, {_NUL}) = 0 THEN {data}::json "
        f"ELSE replace({data}::text, {_NUL}, '\\u2400')::json END"
    )
    return (
        f"(SELECT {_VALUES[field.kind]} FROM (SELECT ({document}) -> '{field.name}' AS m) AS one)"
    )
