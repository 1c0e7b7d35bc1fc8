"""Errors in the events of a stream."""

import json

from services.search.rest.events import _data, _told
from services.search.store.entry import Entry, entry_id
from services.search.store.events import Failed

TRACE = "0af7651916cd43dd8448eb211c80319c"


def data_of(event: str) -> dict[str, object]:
    (line,) = (line for line in event.splitlines() if line.startswith("data: "))
    found: dict[str, object] = json.loads(line.removeprefix("data: "))
    return found


def test_a_failed_search_names_its_trace_to_its_caller_and_to_who_follows_it() -> None:
    entry = Entry(entry_id(1), Failed("policy", "down", trace_id=TRACE))
    assert data_of(_told("s1", entry))["trace_id"] == TRACE
    assert json.loads(_data("s1", entry, None))["error"]["trace_id"] == TRACE


def test_one_that_is_not_traced_names_none() -> None:
    entry = Entry(entry_id(1), Failed("policy", "down"))
    assert "trace_id" not in data_of(_told("s1", entry))
