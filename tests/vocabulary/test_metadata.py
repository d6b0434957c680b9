"""The context of a message follows what it causes."""

import asyncio
import threading
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import LimitExceededError
from headwater.metadata import (
    CURRENT_CONTEXT,
    HEADER_LENGTH_MAX,
    HEADERS_MAX,
    NO_HEADERS,
    CausedContext,
    MessageContext,
    check_headers,
    current_context,
    message_context,
    root_context,
)

DEADLINE = datetime(2030, 1, 1, tzinfo=UTC)

header_texts = st.text(max_size=50)


def full_context() -> MessageContext:
    return MessageContext(
        correlation_id=uuid4(),
        message_id=uuid4(),
        causation_id=uuid4(),
        actor="ada",
        tenant="north",
        traceparent="00-1-2-01",
        headers={"channel": "web"},
        deadline=DEADLINE,
    )


def test_there_is_no_context_outside_of_a_message() -> None:
    assert current_context() is None


def test_a_context_ends_with_its_block() -> None:
    with message_context(actor="ada") as context:
        assert current_context() is context

    assert current_context() is None


def test_a_context_ends_also_when_its_block_raises() -> None:
    with pytest.raises(ZeroDivisionError), message_context(actor="ada"):
        raise ZeroDivisionError

    assert current_context() is None


def test_a_context_without_a_cause_starts_a_correlation() -> None:
    with message_context() as context:
        pass

    assert context.correlation_id == context.message_id
    assert context.causation_id is None
    assert context.headers == NO_HEADERS


def test_an_inner_context_takes_over_what_it_is_not_given() -> None:
    with (
        message_context(
            actor="ada", tenant="north", traceparent="00-1", headers={"a": "1"}, deadline=DEADLINE
        ) as outer,
        message_context() as inner,
    ):
        pass

    assert inner == outer


def test_an_inner_context_replaces_what_it_is_given_until_it_ends() -> None:
    correlation_id = uuid4()

    with message_context(actor="ada", tenant="north", headers={"a": "1"}) as outer:
        with message_context(
            correlation_id=correlation_id, actor="bob", headers={"b": "2"}
        ) as inner:
            pass
        after = current_context()

    assert (inner.correlation_id, inner.actor, inner.tenant) == (correlation_id, "bob", "north")
    assert inner.headers == {"b": "2"}
    assert after is outer


def test_headers_changed_afterwards_do_not_change_the_context() -> None:
    headers = {"channel": "web"}

    with message_context(headers=headers) as context:
        headers["channel"] = "telephone"

    assert context.headers == {"channel": "web"}


async def test_a_context_follows_into_tasks_and_threads_and_not_back_out() -> None:
    async def change_actor() -> MessageContext | None:
        with message_context(actor="bob"):
            await asyncio.sleep(0)
            return current_context()

    with message_context(actor="ada") as context:
        seen_in_thread = await asyncio.to_thread(current_context)
        seen_in_task = await asyncio.create_task(change_actor())
        seen_afterwards = current_context()

    assert seen_in_thread is context
    assert seen_in_task is not None
    assert (seen_in_task.actor, seen_in_task.correlation_id) == ("bob", context.correlation_id)
    assert seen_afterwards is context


# ----------------------------------------------------------------------------------- causes


def test_a_caused_message_names_its_cause_and_keeps_the_rest() -> None:
    cause, message_id = full_context(), uuid4()

    caused = cause.caused(message_id)

    assert (caused.message_id, caused.causation_id) == (message_id, cause.message_id)
    assert (caused.correlation_id, caused.actor) == (cause.correlation_id, cause.actor)
    assert (caused.tenant, caused.traceparent) == (cause.tenant, cause.traceparent)
    assert (caused.headers, caused.deadline) == (cause.headers, cause.deadline)


def test_each_caused_message_has_an_id_of_its_own() -> None:
    cause = full_context()

    assert cause.caused().message_id != cause.caused().message_id


def test_a_root_context_is_its_own_correlation() -> None:
    message_id = uuid4()

    root = root_context(message_id)

    assert root == MessageContext(message_id, message_id)


def test_a_lazily_caused_context_is_made_once_though_many_threads_look() -> None:
    caused = CausedContext(full_context())
    start = threading.Barrier(8)
    seen: list[MessageContext] = []

    def look() -> None:
        start.wait()
        seen.append(caused.resolve())

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({context.message_id for context in seen}) == 1


def test_a_chain_of_lazily_caused_contexts_names_each_cause() -> None:
    first = CausedContext(None)
    second = CausedContext(first)
    third = CausedContext(second)

    last = third.resolve()  # the last is looked at first

    assert last.causation_id == second.resolve().message_id
    assert second.resolve().causation_id == first.resolve().message_id
    assert last.correlation_id == first.resolve().message_id


def test_the_current_context_is_made_when_somebody_looks() -> None:
    outer = full_context()
    token = CURRENT_CONTEXT.set(CausedContext(outer))
    try:
        first, second = current_context(), current_context()
    finally:
        CURRENT_CONTEXT.reset(token)

    assert first is second
    assert first is not None
    assert first.causation_id == outer.message_id


# ------------------------------------------------------------------------------ header limits


@given(st.dictionaries(header_texts, header_texts, max_size=HEADERS_MAX))
def test_headers_within_the_limits_pass_unchanged(headers: dict[str, str]) -> None:
    assert check_headers(headers) == headers


def test_just_as_many_headers_are_allowed_as_the_limit_says() -> None:
    headers = {f"header-{n}": "x" * HEADER_LENGTH_MAX for n in range(HEADERS_MAX)}

    assert check_headers(headers) == headers


def test_one_header_too_many_is_refused() -> None:
    headers = {f"header-{n}": "" for n in range(HEADERS_MAX + 1)}

    with pytest.raises(LimitExceededError) as refused:
        check_headers(headers)

    assert (refused.value.limit, refused.value.actual) == (HEADERS_MAX, HEADERS_MAX + 1)


@pytest.mark.parametrize("name_length", [1, HEADER_LENGTH_MAX + 1])
def test_a_name_or_value_one_character_too_long_is_refused_and_named(name_length: int) -> None:
    headers = {"n" * name_length: "v" * (HEADER_LENGTH_MAX + 2 - name_length)}

    with pytest.raises(LimitExceededError, match="header 'n") as refused:
        check_headers(headers)

    assert (refused.value.limit, refused.value.actual) == (HEADER_LENGTH_MAX, HEADER_LENGTH_MAX + 1)


def test_a_context_with_too_many_headers_is_not_set() -> None:
    headers = {f"header-{n}": "" for n in range(HEADERS_MAX + 1)}

    with pytest.raises(LimitExceededError), message_context(headers=headers):
        pytest.fail("the block must not run")

    assert current_context() is None
