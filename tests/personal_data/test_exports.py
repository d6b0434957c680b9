"""An export holds what is stored, whichever face of the storage it is given."""

from pathlib import Path

from headwater.clock import ManualClock
from headwater.operations.exporting import export_log
from headwater.operations.importing import import_log
from headwater.streams import ExpectedVersion
from tests.personal_data.people import EMAIL, Cellar, CustomerRegistered

ANY = ExpectedVersion.any()
AT = ManualClock().now()


async def test_what_is_personal_is_exported_and_imported_encrypted(
    cellar: Cellar, tmp_path: Path
) -> None:
    path = tmp_path / "log.jsonl"
    other = Cellar(tmp_path / "other")
    other.place.mkdir()

    async with cellar.personal_data() as personal:
        async with cellar.store(personal) as store:
            await store.append("crm.customer-ada", [CustomerRegistered("ada", EMAIL)], expected=ANY)
            await export_log(store.storage, path, at=AT)
        async with other.store(personal) as store:
            await import_log(store.storage, path)
            (imported,) = [event async for event in store.read_stream("crm.customer-ada")]

    assert imported.payload == CustomerRegistered("ada", EMAIL)
    assert EMAIL.encode() not in path.read_bytes()
    assert EMAIL.encode() not in other.bytes_of_storage()
