"""Followers of a search are told what each would have worked out alone; the log is folded once."""

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.search.forest import Forest
from services.search.log_view import LogView
from services.search.narration import Narration, Narrations
from services.search.schemas import Progress, SolveRequest, Usage
from services.search.store.entry import Entry, entry_id, position
from services.search.store.events import Failed, LogError, Started, TrialTold, TrialUsage
from services.search.tree import Expanded
from services.search.views import TrialEvent
from tests.support.search_world import World, config, grow

if TYPE_CHECKING:
    from services.search.manager import Manager

ID = "s1"


def log_of(trials: int) -> list[Entry]:
    """A log of so many trials, with its end."""
    shape = config()
    told = [
        TrialTold(
            one, TrialUsage(), Progress(search_id=ID, answer=None, confidence=0, usage=Usage())
        )
        for one in grow(Forest(shape), World(5, shape), trials)
    ]
    started = Started(SolveRequest(problem="What is 1 + 1?"), shape, seed=7, ppm=None)
    events = [started, *told, Failed("redis", "down")]
    return [Entry(entry_id(number), event) for number, event in enumerate(events, 1)]


LOG = log_of(12)


class Book:
    """A manager's reading side over a log that stands."""

    def __init__(self, log: list[Entry]) -> None:
        self.log = log
        self.store = self

    async def last(self, search_id: str) -> Entry | None:
        return self.log[-1] if self.log else None

    async def entries(self, search_id: str) -> list[Entry]:
        return self.log

    async def watch(self, search_id: str, after: str) -> AsyncGenerator[Entry, None]:
        for entry in self.log[position(after) :]:
            yield entry


def follow(narrations: Narrations, log: list[Entry], after: int) -> AsyncGenerator[Any, None]:
    return narrations.follow(cast("Manager", Book(log)), ID, after)


def alone(log: list[Entry]) -> dict[str, object]:
    """What a follower who folds the log for itself is told, by the entries' ids."""
    view = LogView(ID)
    return {entry.id: view.fold(entry) for entry in log}


@settings(max_examples=40, deadline=None)
@given(
    afters=st.lists(st.integers(0, len(LOG) + 3), min_size=1, max_size=4),
    turns=st.lists(st.integers(0, 3), max_size=60),
    kept=st.integers(1, 6),
)
async def test_whoever_follows_in_whatever_turn_is_told_the_same(
    afters: list[int], turns: list[int], kept: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("services.search.narration._KEPT", kept)
        narrations, expected = Narrations(), alone(LOG)
        followers = [follow(narrations, LOG, after) for after in afters]
        heard: list[list[str]] = [[] for _ in followers]
        rest = [who for who in range(len(followers)) for _ in range(len(LOG) + 1)]
        for turn in [*turns, *rest]:
            who = turn % len(followers)
            if (next_one := await anext(followers[who], None)) is not None:
                entry, brought = next_one
                heard[who].append(entry.id)
                assert brought == expected[entry.id]
        ids = [entry.id for entry in LOG]
        assert heard == [ids[after:] for after in afters]
        assert not narrations._followed


async def test_a_log_is_folded_once_for_all_who_keep_up(monkeypatch: pytest.MonkeyPatch) -> None:
    folded: list[str] = []
    fold = LogView.fold

    def counted(self: LogView, entry: Entry) -> object:
        folded.append(entry.id)
        return fold(self, entry)

    monkeypatch.setattr(LogView, "fold", counted)
    narrations = Narrations()
    followers = [follow(narrations, LOG, 0) for _ in range(5)]
    for _ in LOG:
        for one in followers:
            await anext(one)
    for one in followers:
        await one.aclose()
    assert folded == [entry.id for entry in LOG]


@pytest.mark.parametrize("trial", [0, 99], ids=["known", "new"])
async def test_an_entry_that_makes_no_tree_ends_every_following(trial: int) -> None:
    wrong = TrialTold(
        Expanded(trial=trial, rollout=1, node_id="nowhere", count=1, candidates=()),
        TrialUsage(),
        Progress(search_id=ID, answer=None, confidence=0, usage=Usage()),
    )
    log = [*LOG[:3], Entry(entry_id(4), wrong)]
    narrations = Narrations()
    followers = [follow(narrations, log, 2) for _ in range(3)]
    for one in followers:
        assert (await anext(one))[0].number == 3
    for one in followers:
        with pytest.raises(LogError):
            await anext(one)
    assert not narrations._followed


def test_an_entry_out_of_turn_is_refused() -> None:
    with pytest.raises(ValueError, match="entry 2 does not come after 0"):
        Narration(ID).tell(LOG[1])


def test_the_best_path_stands_in_the_tree_that_is_named() -> None:
    shape = config(trees=3, candidates=2)
    view, forest = LogView(ID), Forest(shape)
    events = grow(Forest(shape), World(5, shape), trials=40)
    view.fold(Entry(entry_id(1), Started(SolveRequest(problem="?"), shape, seed=7, ppm=None)))
    elsewhere = 0
    for number, event in enumerate(events, 2):
        progress = Progress(search_id=ID, answer=None, confidence=0, usage=Usage())
        brought = view.fold(Entry(entry_id(number), TrialTold(event, TrialUsage(), progress)))
        forest.apply(event)
        assert isinstance(brought, TrialEvent)
        assert set(brought.best) <= forest.trees[brought.best_tree].nodes.keys()
        elsewhere += bool(brought.best) and brought.best_tree != brought.tree
    assert elsewhere
