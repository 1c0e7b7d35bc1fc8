"""What the driver does with trials that end together, some of them badly."""

import asyncio
from collections.abc import Sequence

import pytest

from services.search.clients.calls import RejectedError, VersionGone
from services.search.clients.dependencies import DependencyError
from services.search.clients.policy import Sampling
from services.search.driver import Driver
from services.search.expander import Prefix, Yield
from services.search.forest import Forest
from services.search.plan import Plan, forest_config
from services.search.schemas import SolveRequest
from services.search.store.events import TrialTold
from tests.support.search_world import answered, chain, snapshot, step

PARALLEL = 16
# The trial of every batch that fails; in the middle, so that others are before and after it.
FAILING = PARALLEL // 2


class Together:
    """An expander all of whose trials end in the same turn of the loop, one of them in an error."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self._begun = 0
        self._all = asyncio.Event()

    async def expand(
        self, prefix: Prefix, count: int, sampling: Sampling, into: Yield, *, seconds: float
    ) -> None:
        number = self._begun
        self._begun += 1
        if self._begun == PARALLEL:
            self._all.set()
        await self._all.wait()
        if number == FAILING:
            raise self._error
        text = f"# Step 1: {number}"
        into.candidates.append(chain(step(text), answered(f"{text}, then", f"{number}")))
        into.policy_tokens += 7


class Log:
    """A journal that keeps what it is given."""

    def __init__(self, broken: Exception | None = None) -> None:
        self.told: list[TrialTold] = []
        self._broken = broken

    async def append(self, events: Sequence[TrialTold]) -> None:
        if self._broken is not None:
            raise self._broken
        self.told += events


def driver_of(error: Exception, log: Log, *, stall_seconds: float = 60.0) -> Driver:
    request = SolveRequest.model_validate(
        {
            "problem": "2 + 2?",
            "search": {"method": "best_of_n", "candidates": 1, "parallel": PARALLEL},
            "budget": {"rollouts": 4 * PARALLEL},
        }
    )
    plan = Plan(
        search_id="s1",
        request=request,
        config=forest_config(request, None),
        seed=1,
        ppm=None,
        candidate_tokens=64,
        stall_seconds=stall_seconds,
    )
    return Driver(plan, Together(error), log, lambda: None)  # type: ignore[arg-type]  # doubles


@pytest.mark.parametrize(
    ("error", "stall_seconds"),
    [
        (VersionGone("policy", "v1 is gone"), 60.0),
        (DependencyError("policy", "away"), 0.0),
        (RejectedError("problem: too long"), 60.0),
        (ZeroDivisionError("a fault of our own"), 60.0),
    ],
    ids=["version gone", "stalled", "rejected", "unexpected"],
)
async def test_what_was_told_with_a_failure_is_in_the_log(
    error: Exception, stall_seconds: float
) -> None:
    log = Log()
    driver = driver_of(error, log, stall_seconds=stall_seconds)
    with pytest.raises(type(error)) as raised:
        await driver.run()
    assert raised.value is error
    assert len(log.told) == PARALLEL - 1
    # Whoever folds the log has all that this replica had.
    folded = Forest.replay(driver.forest.config, [told.expanded for told in log.told])
    assert snapshot(folded) == snapshot(driver.forest)


async def test_a_log_that_cannot_be_written_comes_before_a_failed_trial() -> None:
    full = DependencyError("redis", "out of memory")
    driver = driver_of(VersionGone("policy", "v1 is gone"), Log(full))
    with pytest.raises(DependencyError) as raised:
        await driver.run()
    assert raised.value is full
