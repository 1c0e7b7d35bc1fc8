"""The chain with a learner that is scripted at the edge: which versions search, what is skipped."""

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.common.models.errors import ModelError
from services.common.models.store import ModelStore
from tests.unit.trainer.rounds.test_config import written
from trainer.problems.problem import BadProblems
from trainer.rounds import evolve, harvesting, learning, measuring, selecting
from trainer.rounds.config import Bootstrap, load
from trainer.rounds.lock import alone_in
from trainer.rounds.results import Coverage, Harvested, Measured, Selected, Trained
from trainer.rounds.services import Serving
from trainer.rounds.stage import BadStage

ROUNDS = [
    {"guidance": "answer"},
    {"guidance": "answer"},
    {"guidance": "ppm"},
]


class Asked:
    """Services that note what they were asked to serve."""

    def __init__(self) -> None:
        self.served: list[tuple[str, str]] = []

    @contextlib.asynccontextmanager
    async def serving(self, policy: str, ppm: str) -> AsyncIterator[Serving]:
        self.served.append((policy, ppm))
        yield Serving("here:1", "redis://here", {})

    @contextlib.asynccontextmanager
    async def bootstrap(self, what: Bootstrap) -> AsyncIterator[Serving]:
        self.served.append((what.module, ""))
        yield Serving("here:1", "redis://here", {})


class Silent:
    """Nobody watches."""

    searches: Any = None
    runs: Any = None

    def stage(self, number: int, name: str) -> None:
        """Nothing is shown."""


class Base:
    path = Path("base")

    class manifest:  # noqa: N801 - as on StoredModel
        version = "lab-base"
        licence = "MIT"


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The work of the stages, noted instead of done."""
    done: list[str] = []

    async def harvest_round(config: Any, number: int, *rest: Any) -> Harvested:
        done.append(f"harvest {number}")
        coverage = {"": Coverage(problems=2, solved=1)}
        return Harvested(folders=[], coverage=coverage, tokens=1, searches=2, failed=0)

    def select(*rest: Any) -> Selected:
        done.append("select")
        return Selected(solutions=1, groups=1, pairs={"step": 1}, dropped={})

    async def train(kind: str, settings: Any, data: Path, base: Path, *rest: Any) -> None:
        done.append(f"{kind} from {base.parent.name or base.name}")

    def publish(store: Any, kind: Any, version: str, *rest: Any, **more: Any) -> Trained:
        return Trained(version=version, rows={}, metrics={})

    async def measure(config: Any, where: Any, out: Path, runs: Any, *names: str) -> Any:
        done.append(f"measure {' '.join(names)}")
        one = Measured(
            n=2,
            accuracy=0.5,
            ci95=(0.1, 0.9),
            tokens_per_problem=10,
            failures=0,
            rules={},
            levels={},
            run=str(out),
        )
        return dict.fromkeys(names, one)

    monkeypatch.setattr(harvesting, "harvest_round", harvest_round)
    monkeypatch.setattr(selecting, "select", select)
    monkeypatch.setattr(learning, "train", train)
    monkeypatch.setattr(learning, "publish", publish)
    monkeypatch.setattr(measuring, "measure", measure)
    monkeypatch.setattr(ModelStore, "open", lambda *_, **__: Base())
    monkeypatch.setattr(ModelStore, "resolve", lambda _, kind, name: name)
    return done


def evolution(folder: Path, services: Asked, **changes: object) -> evolve.Evolution:
    for name, question in (("train", "1 + 1?"), ("held_out", "2 + 2?")):
        row = {"id": name, "question": question, "answer": "2"}
        (folder / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    config = load(written(folder, **({"rounds": ROUNDS, "gate": False, "alias": ""} | changes)))
    store = ModelStore(folder / "store")
    return evolve.Evolution(config, store, services, Silent(), by="test")


async def test_each_round_searches_with_the_models_of_the_one_before(
    tmp_path: Path, noted: list[str]
) -> None:
    services = Asked()
    results = await evolution(tmp_path, services).run()
    assert [one.round for one in results] == [1, 2, 3]
    assert services.served == [
        ("lab-base", ""),
        *[("trainer.lab.solver", ""), ("try-r1", "try-r1")],
        *[("try-r1", ""), ("try-r2", "try-r2")],
        *[("try-r2", "try-r2"), ("try-r3", "try-r3")],
    ]


async def test_policies_start_from_the_base_and_ppms_from_their_policy(
    tmp_path: Path, noted: list[str]
) -> None:
    await evolution(tmp_path, Asked()).run()
    trained = [one for one in noted if " from " in one]
    assert trained == ["policy from base", "ppm from policy"] * 3


async def test_what_is_done_is_not_done_again(tmp_path: Path, noted: list[str]) -> None:
    first = await evolution(tmp_path, Asked()).run()
    noted.clear()
    services = Asked()
    assert await evolution(tmp_path, services).run() == first
    assert noted == []
    assert services.served == []


async def test_it_goes_on_at_the_stage_that_is_missing(tmp_path: Path, noted: list[str]) -> None:
    await evolution(tmp_path, Asked()).run()
    for name in ("evaluate.json", "gate.json", "round.json"):
        (tmp_path / "run" / "round-3" / name).unlink()
    noted.clear()
    services = Asked()
    await evolution(tmp_path, services).run()
    assert noted == ["measure greedy unguided", "measure guided"]
    assert services.served == [("try-r3", "try-r3")]


@pytest.mark.parametrize(
    ("redone", "refused"), [("select", "policy"), ("policy", "ppm"), ("ppm", "evaluate")]
)
async def test_what_was_made_from_other_data_is_refused(
    redone: str, refused: str, tmp_path: Path, noted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage that is done anew and gives something else leaves nothing behind it standing."""
    await evolution(tmp_path, Asked()).run()
    (tmp_path / "run" / "round-1" / f"{redone}.json").unlink()
    select, publish = selecting.select, learning.publish

    def selected(*rest: Any) -> Selected:
        return select(*rest).model_copy(update={"files": {"solutions.parquet": "other"}})

    def published(store: Any, kind: Any, version: str, *rest: Any, **more: Any) -> Trained:
        found = publish(store, kind, version, *rest, **more)
        return found.model_copy(update={"metrics": {"eval_loss": 0.1}})

    monkeypatch.setattr(selecting, "select", selected)
    monkeypatch.setattr(learning, "publish", published)
    with pytest.raises(BadStage, match=rf"round-1/{refused}\.json"):
        await evolution(tmp_path, Asked()).run()


async def test_one_process_evolves_in_a_folder(tmp_path: Path, noted: list[str]) -> None:
    with alone_in(tmp_path / "run"), pytest.raises(BadStage, match="another process"):
        await evolution(tmp_path, Asked()).run()
    assert noted == []
    assert len(await evolution(tmp_path, Asked()).run()) == len(ROUNDS)


async def test_problems_that_are_measured_on_are_never_trained_on(
    tmp_path: Path, noted: list[str]
) -> None:
    with pytest.raises(BadProblems, match="never trained on"):
        evolution(tmp_path, Asked(), evaluation={"problems": {"file": "train.jsonl"}})


def test_an_alias_that_is_another_models_is_not_taken(tmp_path: Path, noted: list[str]) -> None:
    aliases = ModelStore(tmp_path / "store").aliases
    rows = [{"id": str(n), "question": f"{n} + 2?", "answer": "2"} for n in range(30)]
    (tmp_path / "many.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    measured_on = {"problems": {"file": "many.jsonl"}}
    asked = {"gate": True, "alias": "production", "evaluation": measured_on}
    aliases.move("policy", "production", "try-r1", by="test", expect=None)
    evolution(tmp_path, Asked(), **asked)
    aliases.move("policy", "production", "theirs", by="test", expect="try-r1")
    with pytest.raises(ModelError, match="'theirs'"):
        evolution(tmp_path, Asked(), **asked)


def test_too_few_problems_for_the_gate_are_said_at_the_start(
    tmp_path: Path, noted: list[str]
) -> None:
    with pytest.raises(BadProblems, match="needs 30, and there are 1"):
        evolution(tmp_path, Asked(), gate=True)
