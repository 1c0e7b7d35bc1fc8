"""What a run shows: accuracy with its interval, cost a problem; and two runs compared; pure."""

from collections import Counter
from collections.abc import Mapping, Sequence

from pydantic import BaseModel

from trainer.evaluation import statistics
from trainer.evaluation.curves import majority_at_k
from trainer.evaluation.methods import INDEPENDENT
from trainer.evaluation.records import Record
from trainer.evaluation.rules import MEANINGS
from trainer.evaluation.stopping import polls
from trainer.problems.problem import Problem


class Level(BaseModel):
    """The problems of one level of difficulty."""

    level: str
    n: int
    accuracy: float


class RuleResult(BaseModel):
    """What a run would have reached by one answer rule, on the same solutions.

    Attributes:
        accuracy: share of the problems that it gets right; failures are wrong.
        ci95: Wilson's interval of that.
    """

    accuracy: float
    ci95: tuple[float, float]


class Summary(BaseModel):
    """The result of one run.

    Attributes:
        n: problems with a record; failures among them, as wrong answers.
        accuracy: share of right answers, 0 to 1.
        ci95: Wilson's interval of the accuracy.
        oracle: share of problems for which any answer that was found is right.
        pass_at_k: by k, the unbiased estimate that one of k samples is right; only where samples
            are independent and no problem has fewer than were asked for (early stopping would leave
            the hard problems).
        majority_at_k: where pass_at_k is, what a majority of k of the samples reaches.
        rules: by name, what each answer rule reaches; see trainer.evaluation.rules.
        by_level: accuracy by the level of difficulty, where the suite has levels.
        failures: problems for which the service gave no result.
        unanswered: problems whose search finished no solution.
        policy_tokens_per_problem, seconds_per_problem, rollouts_per_problem: means over the
            problems that did not fail; seconds are those of the search itself, beside
            `concurrency` others.
        policy, ppm, prompt_version, engine, grader: all that its records name; one each, but for
            records of older versions of this project, which do not name all.
        dollars_per_problem: of the policy's tokens, by the price that was given; None without one.
        missing: problems of the suite that have no record yet.
    """

    suite: str
    method: str
    n: int
    correct: int
    accuracy: float
    ci95: tuple[float, float]
    oracle: float
    pass_at_k: dict[int, float]
    majority_at_k: dict[int, float] = {}
    rules: dict[str, RuleResult] = {}
    by_level: list[Level]
    failures: int
    unanswered: int
    missing: int
    policy_tokens_per_problem: float
    seconds_per_problem: float
    rollouts_per_problem: float
    dollars_per_problem: float | None
    concurrency: int
    stop_reasons: dict[str, int]
    policy: list[str]
    ppm: list[str]
    prompt_version: list[str] = []
    engine: list[str] = []
    grader: list[str]
    settings: dict[str, object]
    out: str


def summarise(
    settings: Mapping[str, object],
    problems: Sequence[Problem],
    records: Sequence[Record],
    *,
    concurrency: int,
    dollars_per_million: float,
    out: str,
) -> Summary:
    """The summary of a run's records, of which each of the problems should have one."""
    n = len(records)
    correct = sum(record.correct for record in records)
    finished = [record for record in records if record.failure is None]
    samples = _independent_samples(str(settings["method"]), finished)
    tokens = _mean([record.usage.policy_tokens for record in finished])
    return Summary(
        suite=str(settings["suite"]),
        method=str(settings["method"]),
        n=n,
        correct=correct,
        accuracy=correct / n if n else 0.0,
        ci95=statistics.wilson(correct, n),
        oracle=_mean([float(record.oracle) for record in records]),
        pass_at_k=_pass_at_k(samples, finished),
        majority_at_k=majority_at_k(polls(finished), samples) if samples > 1 else {},
        rules=_rules(records),
        by_level=_by_level(problems, records),
        failures=n - len(finished),
        unanswered=sum(record.answer is None for record in finished),
        missing=len(problems) - n,
        policy_tokens_per_problem=tokens,
        seconds_per_problem=_mean([record.usage.seconds for record in finished]),
        rollouts_per_problem=_mean([record.usage.rollouts for record in finished]),
        dollars_per_problem=tokens * dollars_per_million / 1e6 if dollars_per_million else None,
        concurrency=concurrency,
        stop_reasons=dict(Counter(record.stop_reason for record in finished).most_common()),
        policy=sorted({record.policy for record in finished if record.policy}),
        ppm=sorted({record.ppm for record in finished if record.ppm}),
        prompt_version=sorted({one.prompt_version for one in finished if one.prompt_version}),
        engine=sorted({one.policy_engine for one in finished if one.policy_engine}),
        grader=sorted({record.grader for record in records}),
        settings=dict(settings),
        out=out,
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _independent_samples(method: str, records: Sequence[Record]) -> int:
    """How many samples every problem has, a fixed number of independent ones; 0 otherwise."""
    match = INDEPENDENT.fullmatch(method)
    if match is None or not records:
        return 0
    wanted = int(match[1])
    return 0 if any(record.usage.rollouts < wanted for record in records) else wanted


def _pass_at_k(samples: int, records: Sequence[Record]) -> dict[int, float]:
    """For powers of two up to the samples; one without an answer is a wrong one."""
    return {
        k: _mean([statistics.pass_at_k(r.usage.rollouts, r.right_samples, k) for r in records])
        for k in (2**power for power in range(samples.bit_length()))
    }


def _rules(records: Sequence[Record]) -> dict[str, RuleResult]:
    """The rules that any record knows, in the order of tables; none where some were not kept."""
    if any(record.answer is not None and not record.rules for record in records):
        return {}
    made = {}
    for rule in MEANINGS:
        if any(rule in record.rules for record in records):
            right = sum(record.right_by(rule) for record in records)
            made[rule] = RuleResult(
                accuracy=right / len(records), ci95=statistics.wilson(right, len(records))
            )
    return made


def _by_level(problems: Sequence[Problem], records: Sequence[Record]) -> list[Level]:
    levels = {problem.id: problem.level for problem in problems if problem.level}
    groups: dict[str, list[bool]] = {}
    for record in records:
        if record.id in levels:
            groups.setdefault(levels[record.id], []).append(record.correct)
    return [
        Level(level=level, n=len(right), accuracy=_mean(right))
        for level, right in sorted(groups.items(), key=lambda item: item[0])
    ]


class Comparison(BaseModel):
    """Two runs on the problems that both have.

    Attributes:
        only_first, only_second: ids of the problems that one of them alone solved.
        both: problems that both solved.
        difference: accuracy of the second less that of the first.
        p_value: McNemar's exact test, two-sided.
        alike: problems for which both found the same answers, each as often, for as many tokens: of
            two runs with the same seeds, those that the engine has repeated.
        left_out: problems that only one run has, or has in another version.
    """

    n: int
    first_accuracy: float
    second_accuracy: float
    difference: float
    both: int
    only_first: list[str]
    only_second: list[str]
    p_value: float
    alike: int = 0
    left_out: int


def compare(
    first: Mapping[str, Record], second: Mapping[str, Record], rules: tuple[str, str] = ("", "")
) -> Comparison:
    """Two runs, problem by problem.

    Args:
        first, second: their records by problem.
        rules: the answer rule of each; the run's own for an empty name.

    Raises:
        ValueError: they share no problem, or a run has nothing by its rule.
    """
    for records, rule in zip((first, second), rules, strict=True):
        if rule and not any(rule in record.rules for record in records.values()):
            raise ValueError(f"rule {rule!r}: a run has no answer by it")
    shared = [
        identity
        for identity, record in first.items()
        if identity in second and second[identity].problem_digest == record.problem_digest
    ]
    if not shared:
        raise ValueError("the two runs share no problem")
    n = len(shared)
    right = [
        {i for i in shared if records[i].right_by(rule)}
        for records, rule in zip((first, second), rules, strict=True)
    ]
    only_first = [i for i in shared if i in right[0] - right[1]]
    only_second = [i for i in shared if i in right[1] - right[0]]
    both = len(right[0] & right[1])
    return Comparison(
        n=n,
        first_accuracy=(both + len(only_first)) / n,
        second_accuracy=(both + len(only_second)) / n,
        difference=(len(only_second) - len(only_first)) / n,
        both=both,
        only_first=only_first,
        only_second=only_second,
        p_value=statistics.mcnemar_exact(len(only_first), len(only_second)),
        alike=sum(_findings(first[i]) == _findings(second[i]) for i in shared),
        left_out=len({*first, *second}) - n,
    )


def _findings(record: Record) -> object:
    """What a search found, without the order and the time."""
    answers = sorted((one.answer, one.trajectories) for one in record.alternatives)
    return record.failure is None, record.answer, answers, record.usage.policy_tokens
