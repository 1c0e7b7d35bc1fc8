from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from trainer.harvest.harvest import Harvest
from trainer.problems.problem import Problem
from trainer.rounds import harvesting
from trainer.rounds.config import EvolveConfig
from trainer.rounds.services import Serving

PROBLEMS = [Problem(str(n), f"question {n}", str(n), "1" if n < 4 else "2") for n in range(6)]
CONFIG = EvolveConfig.model_validate(
    {
        "name": "x",
        "folder": "x",
        "base": "x",
        "bootstrap": {"model": "x"},
        "harvest": {"problems": {"file": "x"}, "search": {"options": {"candidates": 4}}},
        "evaluation": {"problems": {"file": "x"}},
        "rounds": [
            {"guidance": "answer"},
            {"guidance": "ppm", "ladder": [{"rollouts": 16}, {"rollouts": 64, "seeds": 2}]},
        ],
    }
)


class Searches:
    """In the place of harvests: which problems each asks for, and which it solves."""

    def __init__(self, *solved: set[str]) -> None:
        self.asked: list[Harvest] = []
        self._solved = solved

    async def harvest(self, asked: Harvest, watcher: object) -> Any:
        self.asked.append(asked)
        return SimpleNamespace(tokens=10, done=len(asked.problems), failed=0)

    def solved_in(self, folders: Sequence[Path]) -> set[str]:
        return set().union(*self._solved[: len(folders)])


async def _run(
    number: int, searches: Searches, monkeypatch: pytest.MonkeyPatch, config: EvolveConfig = CONFIG
) -> harvesting.Harvested:
    for name in ("harvest", "solved_in"):
        monkeypatch.setattr(harvesting, name, getattr(searches, name))
    where = Serving("search:1", "redis://", {"policy": "x-r1", "ppm": ""})
    watcher: Any = None
    return await harvesting.harvest_round(config, number, Path("r"), PROBLEMS, where, watcher)


@pytest.mark.asyncio
async def test_each_rung_searches_what_is_unsolved(monkeypatch: pytest.MonkeyPatch) -> None:
    searches = Searches({"0", "1", "4"}, {"2"})
    found = await _run(2, searches, monkeypatch)
    asked = [[one.id for one in harvest.problems] for harvest in searches.asked]
    assert asked == [["0", "1", "2", "3", "4", "5"], ["2", "3", "5"]]
    assert [one.settings["budget"]["rollouts"] for one in searches.asked] == [16, 64]
    assert [one.settings["seeds"] for one in searches.asked] == [1, 2]
    assert {one.versions for one in searches.asked} == {"x-r1 -"}
    assert (found.tokens, found.searches) == (20, 9)
    counts = {name: (one.solved, one.problems) for name, one in found.coverage.items()}
    assert counts == {"": (4, 6), "1": (3, 4), "2": (1, 2)}


@pytest.mark.asyncio
async def test_all_solved_ends_the_ladder(monkeypatch: pytest.MonkeyPatch) -> None:
    searches = Searches({one.id for one in PROBLEMS})
    found = await _run(2, searches, monkeypatch)
    assert found.folders == ["harvest-1"]


@pytest.mark.asyncio
@pytest.mark.parametrize("number", [1, 2])
async def test_solutions_are_worth_what_their_answer_is_in_every_round(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a PPM gives the steps their first values (section 3.4, rounds 3 and 4)."""
    searches = Searches(set(), set())
    await _run(number, searches, monkeypatch)
    assert all(one.settings["terminal_guided"] for one in searches.asked)
    # The services of these tests have no PPM; had they one, it would be left aside.
    assert not any(one.settings["options"]["guided"] for one in searches.asked)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "ladder",
    [
        [{"rollouts": 16}, {"rollouts": 16}],
        [{"rollouts": 16, "seeds": 64}, {"rollouts": 20, "seeds": 2}],
    ],
)
async def test_no_two_trees_of_a_problem_share_their_seed(
    ladder: list[dict[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = [{"guidance": "answer", "ladder": ladder}] * 2
    config = EvolveConfig.model_validate(CONFIG.model_dump() | {"rounds": rounds})
    searches = Searches(set(), set())
    for number in (1, 2):
        await _run(number, searches, monkeypatch, config)
    seeds = [
        one.settings["seed"] + place
        for one in searches.asked
        for place in range(one.settings["seeds"])
    ]
    assert len(set(seeds)) == len(seeds)
