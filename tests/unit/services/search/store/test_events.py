"""The log's encoding: what goes in comes out, and what is malformed is refused by name."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.search.budget import StopReason
from services.search.forest import Forest
from services.search.schemas import Models, Progress, SolveRequest, Usage
from services.search.solution import describe
from services.search.store.events import (
    Event,
    Failed,
    Finished,
    LogError,
    Started,
    TrialTold,
    TrialUsage,
    Waits,
    decode,
    encode,
)
from services.search.tree import Candidate, Expanded
from tests.support.search_world import World, answered, config, grow, step

REQUEST = SolveRequest(problem="What is 1 + 1?")
PROGRESS = Progress(search_id="s1", answer="2", confidence=0.5, usage=Usage(rollouts=2))


def events() -> list[Event]:
    """At least one of each kind."""
    expanded = Expanded(
        trial=3,
        rollout=2,
        node_id="root",
        count=2,
        candidates=(Candidate((step("a", output="1"), answered("b", "2", ppm_score=0.25))),),
    )
    solution = describe(
        Forest(config()),
        "s1",
        StopReason.TOKENS,
        Usage(),
        Models(policy="p", ppm=None),
    )
    return [
        Started(REQUEST, config(), seed=7, ppm=None),
        TrialTold(expanded, TrialUsage(10, 2, 1), PROGRESS, ("p",)),
        TrialTold(expanded, TrialUsage(), PROGRESS, waits={"n": Waits(1.5, 0.003)}),
        Finished(solution),
        Failed("redis", "down"),
    ]


@pytest.mark.parametrize("event", events(), ids=lambda event: type(event).__name__)
def test_an_event_survives_its_encoding(event: Event) -> None:
    assert decode(*encode(event)) == event


def test_logs_of_other_releases_are_read_whether_or_not_they_have_what_nothing_is_folded_from() -> (
    None
):
    _, _, told, *_ = events()
    assert isinstance(told, TrialTold)
    kind, body = encode(told)
    document = json.loads(body)
    document["of a later release"] = {"n": 1}
    assert decode(kind, json.dumps(document).encode()) == told
    del document["waits"]
    older = decode(kind, json.dumps(document).encode())
    assert isinstance(older, TrialTold)
    assert (older.expanded, older.waits) == (told.expanded, {})


def test_a_tree_survives_its_log() -> None:
    shape = config()
    told = grow(Forest(shape), World(5, shape), 10)
    logged = [decode(*encode(TrialTold(event, TrialUsage(), PROGRESS))) for event in told]
    assert [event.expanded for event in logged if isinstance(event, TrialTold)] == told


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        ("telepathy", b"{}", "unknown kind of event 'telepathy'"),
        ("trial", b"not json", "malformed trial event"),
        ("trial", b"{}", "malformed trial event: expanded"),
        ("failed", b'{"cause": 5, "detail": "x"}', "malformed failed event: cause"),
    ],
)
def test_malformed_entries_are_refused_by_name(kind: str, body: bytes, message: str) -> None:
    with pytest.raises(LogError, match=message):
        decode(kind, body)


@pytest.mark.parametrize(
    ("place", "value"), [("candidates", 0), ("depth", -1), ("trees", 0), ("trees", 10**9)]
)
def test_a_shape_that_no_search_can_have_is_refused(place: str, value: int) -> None:
    kind, body = encode(Started(REQUEST, config(), seed=7, ppm=None))
    fields = json.loads(body)
    part = fields["config"] if place == "trees" else fields["config"]["tree"]
    part[place] = value
    with pytest.raises(LogError, match=f"malformed started event: config.*{place}"):
        decode(kind, json.dumps(fields).encode())


def test_an_unknown_schema_is_refused() -> None:
    kind, body = encode(Started(REQUEST, config(), seed=7, ppm=None))
    changed = json.dumps(json.loads(body) | {"schema": 99}).encode()
    with pytest.raises(LogError, match="schema 99"):
        decode(kind, changed)


def _is_read_or_refused(kind: str, body: bytes) -> None:
    try:
        event = decode(kind, body)
    except LogError:
        return
    assert decode(*encode(event)) == event


KINDS = st.sampled_from(["started", "trial", "finished", "failed"])
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner),
    max_leaves=12,
)


@settings(max_examples=60)
@given(st.text() | KINDS, st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(kind: str, body: bytes) -> None:
    _is_read_or_refused(kind, body)


@given(st.sampled_from(events()), st.data())
def test_any_change_of_an_event_is_read_or_refused(event: Event, data: st.DataObject) -> None:
    kind, body = encode(event)
    document = json.loads(body)
    at = document
    while True:  # down to somewhere in the document
        place = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        inside = at[place]
        if not isinstance(inside, dict | list) or not inside or data.draw(st.booleans()):
            break
        at = inside
    if data.draw(st.booleans()):
        at[place] = data.draw(JSON)
    else:
        del at[place]
    _is_read_or_refused(kind, json.dumps(document).encode())


def test_nesting_without_end_is_refused() -> None:
    for kind in ("started", "trial"):
        with pytest.raises(LogError):
            decode(kind, b'{"expanded":' + b"[" * 100_000)
