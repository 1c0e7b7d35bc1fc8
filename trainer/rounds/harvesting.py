"""The searches of a round, rung by rung of its ladder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from trainer.harvest.dataset import searched
from trainer.harvest.harvest import Harvest, Watcher, harvest
from trainer.harvest.parts import versions_of
from trainer.problems.problem import Problem
from trainer.rounds.config import EvolveConfig
from trainer.rounds.results import Coverage, Harvested
from trainer.rounds.services import Serving

HARVEST: Final = "harvest"
ALL: Final = ""


async def harvest_round(
    config: EvolveConfig,
    number: int,
    folder: Path,
    problems: Sequence[Problem],
    serving: Serving,
    watcher: Watcher,
) -> Harvested:
    """Search every problem, and those that stay unsolved again on each further rung.

    Raises:
        BadRun, DamagedPart, QueueDown, FleetDown: as trainer.harvest does.
    """
    left = list(problems)
    folders: list[Path] = []
    tokens = searches = failed = 0
    for place in range(len(config.rounds[number - 1].ladder)):
        if not left:
            break
        out = folder / f"{HARVEST}-{place + 1}"
        summary = await harvest(_asked(config, number, place, out, left, serving), watcher)
        folders.append(out)
        tokens += summary.tokens
        searches += summary.done
        failed += summary.failed
        solved = solved_in(folders)
        left = [one for one in left if one.id not in solved]
    return Harvested(
        folders=[one.name for one in folders],
        coverage=coverage(problems, solved_in(folders)),
        tokens=tokens,
        searches=searches,
        failed=failed,
    )


def _asked(
    config: EvolveConfig,
    number: int,
    place: int,
    out: Path,
    problems: Sequence[Problem],
    serving: Serving,
) -> Harvest:
    search, shape = config.harvest.search, config.rounds[number - 1]
    models = serving.models
    guided = bool(models.get("ppm"))
    rung, before = shape.ladder[place], sum(one.seeds for one in shape.ladder[:place])
    settings: dict[str, Any] = {
        "budget": search.budget | {"rollouts": rung.rollouts},
        "options": {"method": "mcts", **search.options, **shape.options, "guided": guided},
        # No two trees of a problem have the same seed, whatever the round and the rung.
        "seed": config.seed + 1_000_000 * number + before,
        "seeds": rung.seeds,
        "round": number,
        # With a PPM as well, its scores are the first values and the answer those of solutions.
        "terminal_guided": True,
    }
    return Harvest(
        problems=problems,
        out=out,
        settings=settings,
        redis_url=serving.redis_url,
        target=serving.target,
        workers=config.harvest.workers,
        worker={"concurrency": config.harvest.concurrency},
        versions=versions_of(models["policy"], models["ppm"]) if models else "",
    )


def solved_in(folders: Sequence[Path]) -> set[str]:
    """Ids of the problems with a right solution in any tree."""
    return {one.id for one in searched(folders) if any(found.correct for found in one.trajectories)}


def coverage(problems: Sequence[Problem], solved: set[str]) -> dict[str, Coverage]:
    """By level, and all of them under the empty name."""
    groups: dict[str, list[bool]] = {ALL: []}
    for one in problems:
        groups[ALL].append(one.id in solved)
        if one.level:
            groups.setdefault(one.level, []).append(one.id in solved)
    return {
        level: Coverage(problems=len(found), solved=sum(found))
        for level, found in sorted(groups.items())
    }
