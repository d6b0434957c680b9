"""A corrected payload is read in the place of what the log holds, also from the beginning again."""

import pytest

from headwater.clock import SystemClock
from headwater.errors import ConfigurationError, ParkedKeyError, SubscriptionFailedError
from headwater.operations.dead_letters.audit import REASON_CHARS_MAX
from headwater.operations.dead_letters.dead_letters import DeadLetters
from headwater.ports.leases import Checkpoint
from headwater.ports.storage import Storage
from tests.subscriptions.failures.posting import NAME, PostOffice, post, write
from tests.subscriptions.workbench import Workbench

KIND = '{"box":"a","number":1,"text":"good day"}'


async def test_a_subscription_that_begins_again_reads_it(memory: Storage) -> None:
    office = PostOffice()
    office.fails = lambda event: ValueError("rude") if event.text == "hello" else None
    async with post(memory, SystemClock(), office) as app:
        at = await write(app, ("a", 1))
        with pytest.raises(ParkedKeyError):
            await app.wait_for(NAME, at)
        (dead,) = await app.dead_letters.list()
        await app.dead_letters.edit(dead.id, KIND, author="ada", reason="rude")
    await memory.open()
    await memory.reset_subscription(NAME, to=Checkpoint(0), clear=["post_sent"])

    async with post(memory, SystemClock(), office) as app:
        await app.settle()
        rows = await app.storage.get_rows("post_sent", ["1"])

    assert '"text":"good day"' in rows["1"].data


async def test_what_a_subscription_has_stopped_at_can_be_corrected_and_it_goes_on(
    memory: Storage,
) -> None:
    bench = Workbench(memory)
    runner = await bench.projection()
    await bench.book("1", 5)
    position = await _exploding(bench)
    subscriptions = await bench.start(runner)
    with pytest.raises(SubscriptionFailedError):
        await subscriptions.wait_for("balances", position)
    letters = DeadLetters(memory, codec=bench.codec)

    with pytest.raises(ConfigurationError, match="balances"):
        await letters.edit_event("nobody", position, "{}", author="ada", reason="boom")
    await letters.edit_event(
        "balances", position, '{"account":"1","cents":7}', author="ada", reason="boom"
    )
    await subscriptions.restart("balances")
    await subscriptions.wait_for("balances", position)

    balance = await bench.balance("1")
    assert balance is not None
    assert balance.cents == 12
    await bench.stop()


async def test_a_projection_or_any_generation_of_it_names_what_reads_the_correction(
    memory: Storage,
) -> None:
    bench = Workbench(memory)
    position = await bench.book("1")
    await memory.open_subscription("balances@2", partitions=1, start_after=0)
    letters = DeadLetters(memory, codec=bench.codec)

    for name in ("balances", "balances@1", "balances@2"):
        override = await letters.edit_event(
            name, position, '{"account":"1","cents":7}', author="ada", reason="boom"
        )
        assert override.subscription == "balances"


async def test_nobody_corrects_anonymously_or_endlessly(memory: Storage) -> None:
    bench = Workbench(memory)
    await bench.start(await bench.projection())
    position = await bench.book("1")
    letters = DeadLetters(memory, codec=bench.codec)

    for author, reason in (("", "why"), ("ada", " "), ("ada", "x" * (REASON_CHARS_MAX + 1))):
        with pytest.raises(ConfigurationError):
            await letters.edit_event("balances", position, "{}", author=author, reason=reason)
    await bench.stop()


async def _exploding(bench: Workbench) -> int:
    """Book something that no projection can fold: more than any balance holds."""
    return await bench.book("1", 10**30)
