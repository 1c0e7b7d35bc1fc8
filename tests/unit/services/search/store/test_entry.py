"""Ids of entries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.search.store.entry import entry_id, parse, position
from services.search.store.events import LogError


@given(st.integers(min_value=0, max_value=2**63))
def test_a_place_survives_its_id(number: int) -> None:
    assert position(entry_id(number)) == number


@pytest.mark.parametrize("text", ["", "-", "-1", "x", "1-1", "1-0-0", "٣", "1.0", " 1", "+1"])
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no event id"):
        position(text)


def test_a_number_alone_is_an_id() -> None:
    assert position("7") == 7


def test_an_entry_under_an_id_of_somebody_else_is_refused() -> None:
    with pytest.raises(LogError, match="no event id"):
        parse((b"1763844000000-3", {b"kind": b"failed", b"body": b"{}"}))
    with pytest.raises(LogError, match="unknown kind"):
        parse((b"2-0", None))
