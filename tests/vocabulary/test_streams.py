"""Names of streams, and what a writer expects to find in one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import InvalidNameError
from headwater.streams import (
    STREAM_ID_LENGTH_MAX,
    ExpectedVersion,
    category_of,
    check_context_name,
    check_stream_id,
)

printable = st.characters(exclude_categories=("Cc", "Cs"))
context_names = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True)

STREAM_IDS_THAT_CANT_BE = {
    "empty": "",
    "one too long": "x" * (STREAM_ID_LENGTH_MAX + 1),
    "a zero byte": "account-\x00",
    "a line break": "account-7\n",
    "an escape": "account-\x1b[31m",
    "a delete": "account-\x7f",
    "a C1 control": "account-\x85",
    "a lone surrogate": "account-\ud800",
}


@given(st.text(printable, min_size=1, max_size=STREAM_ID_LENGTH_MAX))
def test_any_text_without_control_characters_can_name_a_stream(name: str) -> None:
    assert check_stream_id(name) == name


def test_a_stream_id_can_have_just_as_many_characters_as_the_limit_says() -> None:
    name = "é" * STREAM_ID_LENGTH_MAX

    assert check_stream_id(name) == name


@pytest.mark.parametrize("why", STREAM_IDS_THAT_CANT_BE)
def test_a_name_that_cant_be_a_stream_id_is_refused(why: str) -> None:
    name = STREAM_IDS_THAT_CANT_BE[why]

    with pytest.raises(InvalidNameError) as refused:
        check_stream_id(name)

    assert (refused.value.kind, refused.value.name) == ("stream id", name)


@given(st.text(printable), st.characters(categories=("Cc", "Cs")), st.text(printable))
def test_a_control_character_is_refused_wherever_it_stands(
    before: str, control: str, after: str
) -> None:
    with pytest.raises(InvalidNameError):
        check_stream_id(before + control + after)


@given(context_names, st.from_regex(r"[a-z][a-z0-9_]*", fullmatch=True), st.text())
def test_the_category_is_context_and_aggregate(context: str, aggregate: str, key: str) -> None:
    check_context_name(context)

    assert category_of(f"{context}.{aggregate}-{key}") == f"{context}.{aggregate}"


def test_a_stream_without_a_hyphen_is_its_own_category() -> None:
    assert category_of("settings") == "settings"


@given(context_names)
def test_a_lower_case_word_can_name_a_context(name: str) -> None:
    assert check_context_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "Sales", "1st", "_sales", "sales ", "sales\n", "sales.eu", "größe", "sales;drop", "a b"],
)
def test_a_name_that_cant_be_a_context_is_refused(name: str) -> None:
    with pytest.raises(InvalidNameError) as refused:
        check_context_name(name)

    assert (refused.value.kind, refused.value.name) == ("context name", name)


# ------------------------------------------------------------------------ expected versions

versions = st.integers(min_value=0, max_value=2**63)


@given(versions, versions)
def test_exactly_allows_that_version_only(expected: int, actual: int) -> None:
    assert ExpectedVersion.exactly(expected).allows(actual) is (expected == actual)
    assert ExpectedVersion.exactly(expected).allows(expected)


@given(versions)
def test_no_stream_allows_an_empty_stream_only(actual: int) -> None:
    assert ExpectedVersion.no_stream().allows(actual) is (actual == 0)


@given(versions)
def test_stream_exists_allows_every_stream_that_has_an_event(actual: int) -> None:
    assert ExpectedVersion.stream_exists().allows(actual) is (actual > 0)


@given(versions)
def test_any_allows_every_stream(actual: int) -> None:
    assert ExpectedVersion.any().allows(actual)


def test_exactly_nothing_is_no_stream() -> None:
    assert ExpectedVersion.exactly(0) == ExpectedVersion.no_stream()


def test_a_negative_version_is_refused() -> None:
    with pytest.raises(ValueError, match="-1"):
        ExpectedVersion.exactly(-1)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (ExpectedVersion.exactly(3), "version 3"),
        (ExpectedVersion.no_stream(), "no stream"),
        (ExpectedVersion.stream_exists(), "an existing stream"),
        (ExpectedVersion.any(), "any version"),
    ],
)
def test_an_expectation_reads_as_a_part_of_a_sentence(expected: ExpectedVersion, text: str) -> None:
    assert str(expected) == text


def test_expectations_compare_and_hash_by_content() -> None:
    assert ExpectedVersion.exactly(3) == ExpectedVersion.exactly(3)
    assert hash(ExpectedVersion.exactly(3)) == hash(ExpectedVersion.exactly(3))
    assert ExpectedVersion.exactly(3) != ExpectedVersion.exactly(4)
