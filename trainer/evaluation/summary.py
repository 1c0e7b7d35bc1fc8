"""What a run shows: accuracy with its interval, cost a problem; and two runs compared; pure."""

from collections import Counter
from collections.abc import Collection, Mapping

from pydantic import BaseModel

from trainer.evaluation import statistics
from trainer.evaluation.records import Record


class Summary(BaseModel):
    """The result of one run.

    Attributes:
        n: problems with a record; failures among them, as wrong answers.
        accuracy: share of right answers, 0 to 1.
        ci95: Wilson's interval of the accuracy.
        oracle: share of problems for which any answer that was found is right.
        failures: problems for which the service gave no result.
        unanswered: problems whose search finished no solution.
        policy_tokens_per_problem, seconds_per_problem, rollouts_per_problem: means over the
            problems that did not fail; seconds are those of the search itself, beside
            `concurrency` others.
        missing: problems of the suite that have no record yet.
    """

    suite: str
    method: str
    n: int
    correct: int
    accuracy: float
    ci95: tuple[float, float]
    oracle: float
    failures: int
    unanswered: int
    missing: int
    policy_tokens_per_problem: float
    seconds_per_problem: float
    rollouts_per_problem: float
    concurrency: int
    stop_reasons: dict[str, int]
    policy: list[str]
    ppm: list[str]
    grader: list[str]
    settings: dict[str, object]
    out: str


def summarise(
    suite: str,
    settings: Mapping[str, object],
    records: Collection[Record],
    *,
    wanted: int,
    concurrency: int,
    out: str,
) -> Summary:
    """The summary of a run's records, of which there should be `wanted`."""
    n = len(records)
    correct = sum(record.correct for record in records)
    finished = [record for record in records if record.failure is None]

    def mean(values: list[float]) -> float:
        return sum(values) / len(values) if values else 0.0

    return Summary(
        suite=suite,
        method=str(settings["method"]),
        n=n,
        correct=correct,
        accuracy=correct / n if n else 0.0,
        ci95=statistics.wilson(correct, n),
        oracle=mean([float(record.oracle) for record in records]),
        failures=n - len(finished),
        unanswered=sum(record.answer is None for record in finished),
        missing=wanted - n,
        policy_tokens_per_problem=mean([record.usage.policy_tokens for record in finished]),
        seconds_per_problem=mean([record.usage.seconds for record in finished]),
        rollouts_per_problem=mean([record.usage.rollouts for record in finished]),
        concurrency=concurrency,
        stop_reasons=dict(Counter(record.stop_reason for record in finished).most_common()),
        policy=sorted({record.policy for record in finished if record.policy}),
        ppm=sorted({record.ppm for record in finished if record.ppm}),
        grader=sorted({record.grader for record in records}),
        settings=dict(settings),
        out=out,
    )


class Comparison(BaseModel):
    """Two runs on the problems that both have.

    Attributes:
        only_first, only_second: ids of the problems that one of them alone solved.
        both: problems that both solved.
        difference: accuracy of the second less that of the first.
        p_value: McNemar's exact test, two-sided.
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
    left_out: int


def compare(first: Mapping[str, Record], second: Mapping[str, Record]) -> Comparison:
    """Two runs, problem by problem. ValueError where they share none."""
    shared = [
        identity
        for identity, record in first.items()
        if identity in second and second[identity].problem_digest == record.problem_digest
    ]
    if not shared:
        raise ValueError("the two runs share no problem")
    n = len(shared)
    only_first = [i for i in shared if first[i].correct and not second[i].correct]
    only_second = [i for i in shared if second[i].correct and not first[i].correct]
    both = sum(first[i].correct and second[i].correct for i in shared)
    return Comparison(
        n=n,
        first_accuracy=(both + len(only_first)) / n,
        second_accuracy=(both + len(only_second)) / n,
        difference=(len(only_second) - len(only_first)) / n,
        both=both,
        only_first=only_first,
        only_second=only_second,
        p_value=statistics.mcnemar_exact(len(only_first), len(only_second)),
        left_out=len({*first, *second}) - n,
    )
