"""The gate of promotion: may a version take production's place, given how both did?"""

from collections.abc import Mapping
from dataclasses import dataclass

from services.common.models.manifest import Kind
from trainer.evaluation.records import Record
from trainer.evaluation.statistics import mcnemar_exact

ALPHA = 0.05
MIN_PROBLEMS = 30


class GateError(Exception):
    """Two runs that cannot be compared; the message says why."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate found.

    Attributes:
        passed: whether the candidate may be promoted.
        problems: that both were given.
        candidate, baseline: problems that each solved.
        only_candidate, only_baseline: problems that it alone solved.
        p_worse: one-sided p-value of McNemar's exact test: how likely a split at least this bad
            for the candidate would be, were both equally good.
    """

    passed: bool
    problems: int
    candidate: int
    baseline: int
    only_candidate: int
    only_baseline: int
    p_worse: float

    def __str__(self) -> str:
        """In one line."""
        return (
            f"{self.candidate} against {self.baseline} of {self.problems} problems, alone "
            f"{self.only_candidate} against {self.only_baseline}, "
            f"p of being worse {self.p_worse:.4f}"
        )


def judge(
    kind: Kind,
    candidate: tuple[str, Mapping[str, Record]],
    baseline: tuple[str, Mapping[str, Record]],
    *,
    alpha: float = ALPHA,
    min_problems: int = MIN_PROBLEMS,
) -> Verdict:
    """Compare two evaluation runs, problem by problem.

    Args:
        kind: which of a run's two models is compared.
        candidate, baseline: a version and the records of its run by problem.
        alpha: the candidate is refused where it is worse at this level.
        min_problems: fewer prove nothing.

    Raises:
        GateError: a run is not that version's, has failures, was graded otherwise, or is of other
            problems.
    """
    for version, records in (candidate, baseline):
        _check_run(kind, version, records)
    first, second = candidate[1], baseline[1]
    if {key: one.problem_digest for key, one in first.items()} != {
        key: one.problem_digest for key, one in second.items()
    }:
        raise GateError("the two runs are not of the same problems")
    if len(first) < min_problems:
        raise GateError(f"{len(first)} problems prove nothing; {min_problems} are needed")
    if {(r.grader, r.settings_digest) for r in first.values()} != {
        (r.grader, r.settings_digest) for r in second.values()
    }:
        raise GateError("the two runs differ in grader or settings, not in the model alone")
    if {_other(kind, r) for r in first.values()} != {_other(kind, r) for r in second.values()}:
        raise GateError("the two runs differ in more than the one model that is compared")
    better = sum(first[key].correct and not second[key].correct for key in first)
    worse = sum(second[key].correct and not first[key].correct for key in first)
    p_worse = mcnemar_exact(better, worse) / 2 if worse > better else 1.0
    return Verdict(
        passed=p_worse >= alpha,
        problems=len(first),
        candidate=sum(one.correct for one in first.values()),
        baseline=sum(one.correct for one in second.values()),
        only_candidate=better,
        only_baseline=worse,
        p_worse=p_worse,
    )


def _other(kind: Kind, record: Record) -> str:
    return record.ppm if kind == "policy" else record.policy


def _check_run(kind: Kind, version: str, records: Mapping[str, Record]) -> None:
    if not records:
        raise GateError(f"the run of {version!r} has no records")
    failed = [key for key, one in records.items() if one.failure is not None]
    if failed:
        raise GateError(f"the run of {version!r} has {len(failed)} failures, {failed[0]} say")
    for one in records.values():
        served = one.policy if kind == "policy" else one.ppm
        if served != version:
            raise GateError(f"{one.id} was answered by {kind} {served!r}, not by {version!r}")
