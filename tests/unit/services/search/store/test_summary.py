"""Summaries: what events change, and hashes that nobody has written."""

from hypothesis import given
from hypothesis import strategies as st

from services.search.schemas import Usage
from services.search.store import summary
from services.search.store.events import Failed, Started, TrialTold
from tests.unit.services.search.store.test_events import PROGRESS, REQUEST, events


def fields(*flat: object) -> dict[str, object]:
    return dict(zip(flat[::2], flat[1::2], strict=True))  # type: ignore[arg-type]  # names


def as_stored(values: dict[str, object]) -> list[bytes | None]:
    return [
        None if (value := values.get(name)) is None else str(value).encode()
        for name in summary.FIELDS
    ]


def test_a_trial_shows_how_far_the_search_is() -> None:
    started, trial, _, finished, failed = events()
    assert isinstance(started, Started)
    state = {"status": "running", **fields(*summary.opening(started, "k", "r"))}
    one = summary.parse("s", as_stored(state))
    assert one is not None
    assert (one.problem, one.method, one.key_id, one.replica) == (REQUEST.problem, "mcts", "k", "r")
    assert (one.answer, one.usage, one.stop_reason) == (None, Usage(), None)
    state |= fields(*summary.changes([trial]))
    one = summary.parse("s", as_stored(state))
    assert one is not None
    assert isinstance(trial, TrialTold)
    assert (one.answer, one.confidence, one.usage) == ("2", 0.5, PROGRESS.usage)
    assert state["adoptions"] == 0
    ended = summary.parse("s", as_stored(state | fields(*summary.changes([finished]))))
    assert ended is not None
    assert (ended.status, ended.stop_reason) == ("finished", "tokens")
    broken = summary.parse("s", as_stored(state | fields(*summary.changes([failed]))))
    assert broken is not None
    assert isinstance(failed, Failed)
    assert (broken.status, broken.failure, broken.ended) == ("failed", "redis: down", failed.at)


@given(st.lists(st.none() | st.binary(max_size=20), min_size=12, max_size=12))
def test_a_hash_that_nobody_has_written_hurts_nobody(values: list[bytes | None]) -> None:
    assert len(values) == len(summary.FIELDS)
    summary.parse("s", [b"running", *values[1:]])
    summary.parse("s", values)
