"""The chain of rounds: every stage once, each from what the stages before it have left.

    <folder>/
      base.json                  how able the base is, before any round
      round-1/
        harvest-1/, harvest-2/   searches, a folder for each rung of the ladder
        solutions.parquet, groups.parquet
        policy/, ppm/            trainings
        evaluation/              runs, as `rstar eval` writes them
        harvest.json, select.json, policy.json, ppm.json, evaluate.json, gate.json
        round.json               written last: the round is done

Killed anywhere and started again, an evolution goes on: a stage whose manifest is there is not done
again, and each stage by itself goes on from what is done of it.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, get_args

from pydantic import ValidationError

from services.common.models.errors import ModelError
from services.common.models.manifest import Kind
from services.common.models.store import ModelStore
from trainer.evaluation.evaluate import Watcher as EvaluationWatcher
from trainer.evaluation.records import read_records
from trainer.harvest.harvest import Watcher as HarvestWatcher
from trainer.harvest.run import problems_digest
from trainer.problems.files import read_problems
from trainer.problems.overlap import keep_apart
from trainer.problems.problem import BadProblems
from trainer.promotion import MIN_PROBLEMS, GateError, judge
from trainer.rounds import harvesting, learning, measuring, selecting
from trainer.rounds.config import EvolveConfig
from trainer.rounds.lock import alone_in
from trainer.rounds.results import (
    Evaluated,
    Harvested,
    Judged,
    Measured,
    RoundResult,
    Selected,
    Trained,
    round_result,
)
from trainer.rounds.services import Services
from trainer.rounds.stage import BadStage, once
from trainer.training.stage import MODEL, StageManifest, write_json

ROUND: Final = "round.json"
EVALUATION: Final = "evaluation"
BASE: Final = "base"
HARVEST: Final = "harvest"
EVALUATE: Final = "evaluate"


class Watcher(Protocol):
    """Follows an evolution, to show it."""

    @property
    def searches(self) -> HarvestWatcher:
        """Follows the harvest of the stage that has begun."""

    @property
    def runs(self) -> EvaluationWatcher:
        """Follows its evaluation."""

    def stage(self, number: int, name: str) -> None:
        """A stage of a round begins."""


def round_folder(folder: Path, number: int) -> Path:
    """Where a round's files are."""
    return folder / f"round-{number}"


def read_round(folder: Path, number: int) -> RoundResult | None:
    """What a round gave; None while it is not done. BadStage where its file cannot be read."""
    path = round_folder(folder, number) / ROUND
    try:
        return RoundResult.model_validate_json(path.read_bytes()) if path.is_file() else None
    except (OSError, ValidationError) as error:
        raise BadStage(f"{path}: {error}") from error


@dataclass(frozen=True, slots=True)
class Standing:
    """What the next round starts from.

    Attributes:
        policy, ppm: versions; empty before round 1.
        greedy: run of that policy alone, which the next one is compared with.
    """

    policy: str = ""
    ppm: str = ""
    greedy: str = ""


class Evolution:
    """One evolution, with what it needs."""

    def __init__(
        self,
        config: EvolveConfig,
        store: ModelStore,
        services: Services,
        watcher: Watcher,
        by: str,
    ) -> None:
        """Read the problems.

        Args:
            config: what it is made of.
            store: has the base, and gets the rounds' models.
            services: serve what a round asks for.
            watcher: is told how far it is.
            by: who does it, for the histories of aliases.

        Raises:
            BadProblems: they cannot be read, some would be both learnt and measured on, or those
                that are measured on are too few for the gate.
            ModelError: the base is not in the store, or the alias is that of a model which no
                round is compared with.
        """
        self._config, self._store, self._services = config, store, services
        self._watcher, self._by = watcher, by
        self._problems = read_problems(config.harvest.problems.file, config.harvest.problems.limit)
        measured_on = read_problems(
            config.evaluation.problems.file, config.evaluation.problems.limit
        )
        keep_apart(self._problems, measured_on)
        if config.gate and len(measured_on) < MIN_PROBLEMS:
            raise BadProblems(
                f"evaluation.problems: the gate needs {MIN_PROBLEMS}, and there are "
                f"{len(measured_on)}; give more, or `gate: false`"
            )
        self._digests = {
            "train": problems_digest(self._problems),
            "evaluation": problems_digest(measured_on),
        }
        if config.gate and config.alias:
            self._refuse_others_alias()
        self._base = store.open("policy", store.resolve("policy", config.base), verify=False)

    def _refuse_others_alias(self) -> None:
        """The gate compares rounds with each other: it cannot answer for another's model."""
        own = {self._config.version(n + 1) for n in range(len(self._config.rounds))}
        for kind in get_args(Kind):
            target = self._store.aliases.target(kind, self._config.alias)
            if target is not None and target not in own:
                raise ModelError(
                    f"alias: {self._config.alias!r} of the {kind} points to {target!r}, which no "
                    "round is compared with: take another alias and promote by "
                    "`rstar models promote`, or `gate: false`"
                )

    async def run(self) -> list[RoundResult]:
        """All rounds, from where an earlier run stopped.

        Raises:
            BadStage: another process is at work in the folder, or it holds something else.
        """
        standing, results = Standing(), []
        with alone_in(self._config.folder):
            base = await self._measure_base()
            for number in range(1, len(self._config.rounds) + 1):
                result = await self._round(number, standing, base)
                results.append(result)
                if result.gate.passed:
                    greedy = result.evaluation.policy.run
                    standing = Standing(result.policy.version, result.ppm.version, greedy)
        return results

    async def _measure_base(self) -> Measured:
        """The base alone, greedily: what the rounds start from."""
        self._watcher.stage(0, EVALUATE)
        config, version = self._config, self._base.manifest.version

        async def work() -> Measured:
            async with self._services.serving(version, "") as where:
                found = await measuring.measure(
                    config, where, config.folder / BASE, self._watcher.runs, "greedy"
                )
            return found["greedy"]

        inputs = {
            "problems": self._digests["evaluation"],
            "evaluation": measuring.settings_of(config),
            "base": version,
            "seed": config.seed,
        }
        result, _ = await once(config.folder / f"{BASE}.json", Measured, inputs, work)
        return result

    async def _round(self, number: int, standing: Standing, base: Measured) -> RoundResult:
        folder = round_folder(self._config.folder, number)
        seconds: dict[str, float] = {}
        harvested = await self._harvest(number, folder, standing, seconds)
        selected = await self._select(number, folder, harvested, seconds)
        trained = policy, ppm = await self._train(number, folder, selected, seconds)
        evaluated = await self._evaluate(number, folder, policy, ppm, seconds)
        judged = await self._judge(number, folder, policy, evaluated, standing, seconds)
        # Done again from its manifests, a round does not take the alias back from a later one.
        if judged.passed and read_round(self._config.folder, number) is None:
            self._promote("policy", policy.version, judged.reason)
            self._promote("ppm", ppm.version, judged.reason)
        result = round_result(
            number, base, seconds, harvested, selected, trained, evaluated, judged
        )
        write_json(folder / ROUND, result.model_dump(mode="json"))
        return result

    async def _harvest(
        self, number: int, folder: Path, standing: Standing, seconds: dict[str, float]
    ) -> Harvested:
        self._watcher.stage(number, HARVEST)
        config, shape = self._config, self._config.rounds[number - 1]
        ppm = standing.ppm if shape.guidance == "ppm" else ""

        async def work() -> Harvested:
            serving = (
                self._services.serving(standing.policy, ppm)
                if standing.policy
                else self._services.bootstrap(config.bootstrap)
            )
            async with serving as where:
                return await harvesting.harvest_round(
                    config, number, folder, self._problems, where, self._watcher.searches
                )

        inputs = {
            "problems": self._digests["train"],
            "round": shape.model_dump(mode="json"),
            "search": config.harvest.search.model_dump(mode="json"),
            "bootstrap": None if standing.policy else config.bootstrap.model_dump(mode="json"),
            "seed": config.seed,
            "policy": standing.policy,
            "ppm": ppm,
        }
        result, seconds["harvest"] = await once(folder / "harvest.json", Harvested, inputs, work)
        return result

    async def _select(
        self, number: int, folder: Path, harvested: Harvested, seconds: dict[str, float]
    ) -> Selected:
        self._watcher.stage(number, "select")
        rules = self._config.selection
        folders = [folder / name for name in harvested.folders]

        async def work() -> Selected:
            return await asyncio.to_thread(selecting.select, folders, rules, folder)

        inputs = {
            "rules": rules.model_dump(mode="json"),
            "harvest": harvested.model_dump(mode="json"),
        }
        result, seconds["select"] = await once(folder / "select.json", Selected, inputs, work)
        return result

    async def _train(
        self, number: int, folder: Path, selected: Selected, seconds: dict[str, float]
    ) -> tuple[Trained, Trained]:
        """Policy and PPM of a round, published; the PPM starts from that very policy."""
        config, settings = self._config, {"seed": self._config.seed}
        made_from = {
            "base": self._base.manifest.version,
            "data": selected.files,
        }
        policy = await self._learn(
            "policy",
            number,
            {**settings, **config.policy},
            (folder / selecting.SOLUTIONS, self._base.path),
            made_from,
            seconds,
        )
        ppm = await self._learn(
            "ppm",
            number,
            {**settings, **config.ppm},
            (folder / selecting.GROUPS, folder / "policy" / MODEL),
            {**made_from, "policy": policy.model_dump(mode="json")},
            seconds,
        )
        return policy, ppm

    async def _learn(
        self,
        kind: learning.Kind,
        number: int,
        settings: Mapping[str, Any],
        places: tuple[Path, Path],
        made_from: Mapping[str, Any],
        seconds: dict[str, float],
    ) -> Trained:
        """A training from the rows and the model at `places`; `made_from` says what they are."""
        self._watcher.stage(number, f"train the {kind}")
        data, base = places
        config, folder = self._config, round_folder(self._config.folder, number)

        async def work() -> Trained:
            manifest: StageManifest = await learning.train(
                kind, settings, data, base, folder / kind, config.processes
            )
            return await asyncio.to_thread(
                lambda: learning.publish(
                    self._store,
                    kind,
                    config.version(number),
                    folder / kind,
                    manifest,
                    data=data,
                    number=number,
                    licence=config.licence or self._base.manifest.licence,
                    base=self._base.manifest.version,
                )
            )

        inputs = {"settings": dict(settings), **made_from}
        result, seconds[kind] = await once(folder / f"{kind}.json", Trained, inputs, work)
        return result

    async def _evaluate(
        self,
        number: int,
        folder: Path,
        policy: Trained,
        ppm: Trained,
        seconds: dict[str, float],
    ) -> Evaluated:
        self._watcher.stage(number, EVALUATE)
        config = self._config

        async def work() -> Evaluated:
            out, runs = folder / EVALUATION, self._watcher.runs
            async with self._services.serving(policy.version, ppm.version) as where:
                without = await measuring.measure(
                    config, where.unguided(), out / "unguided", runs, "greedy", "unguided"
                )
                guided = await measuring.measure(config, where, out / "guided", runs, "guided")
            return Evaluated(
                policy=without["greedy"], unguided=without["unguided"], search=guided["guided"]
            )

        inputs = {
            "problems": self._digests["evaluation"],
            "evaluation": measuring.settings_of(config),
            "policy": policy.model_dump(mode="json"),
            "ppm": ppm.model_dump(mode="json"),
            "seed": config.seed,
        }
        result, seconds["evaluate"] = await once(folder / "evaluate.json", Evaluated, inputs, work)
        return result

    async def _judge(
        self,
        number: int,
        folder: Path,
        policy: Trained,
        evaluated: Evaluated,
        standing: Standing,
        seconds: dict[str, float],
    ) -> Judged:
        self._watcher.stage(number, "gate")

        async def work() -> Judged:
            if not self._config.gate:
                return Judged(passed=True, reason="no gate was asked for")
            if not standing.policy:
                return Judged(passed=True, reason="the first round")
            runs = (
                (policy.version, read_records(Path(evaluated.policy.run))),
                (standing.policy, read_records(Path(standing.greedy))),
            )
            try:
                verdict = judge("policy", *runs)
            except GateError as error:
                return Judged(passed=False, reason=str(error))
            return Judged(passed=verdict.passed, reason=str(verdict))

        inputs = {"policy": policy.version, "before": standing.policy, "gate": self._config.gate}
        result, seconds["gate"] = await once(folder / "gate.json", Judged, inputs, work)
        return result

    def _promote(self, kind: Kind, version: str, reason: str) -> None:
        """The alias follows the rounds; services that follow it reload by themselves."""
        alias, aliases = self._config.alias, self._store.aliases
        before = aliases.target(kind, alias) if alias else version
        if before != version:
            aliases.move(kind, alias, version, by=self._by, expect=before, reason=reason)
