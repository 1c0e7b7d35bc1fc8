import pytest

from trainer.evaluation.records import Failure, RatedAnswer, Record, Usage
from trainer.evaluation.summary import compare, summarise


def record(identity: str, *, correct: bool = False, digest: str = "d", **fields: object) -> Record:
    given = {
        "problem_digest": digest,
        "gold": "1",
        "seed": 1,
        "grader": "g",
        "settings_digest": "s",
    }
    return Record(id=identity, correct=correct, **(given | fields))


def test_failures_count_as_wrong_and_are_shown_and_cost_nothing() -> None:
    right = RatedAnswer(answer="1", weight=0.4, trajectories=2, correct=True)
    records = [
        record(
            "a", correct=True, answer="1", usage=Usage(policy_tokens=100, seconds=2), policy="p"
        ),
        record("b", answer="2", alternatives=[right], usage=Usage(policy_tokens=300, seconds=4)),
        record("c", usage=Usage(policy_tokens=200, seconds=3), stop_reason="tokens"),
        record("d", failure=Failure(code="INTERNAL", details="")),
    ]
    summary = summarise(
        "suite", {"method": "search"}, records, wanted=5, concurrency=2, out="folder"
    )
    assert (summary.n, summary.correct, summary.failures, summary.unanswered) == (4, 1, 1, 1)
    assert summary.missing == 1
    assert summary.accuracy == 0.25
    assert summary.oracle == 0.5
    assert summary.policy_tokens_per_problem == 200
    assert summary.seconds_per_problem == 3
    assert summary.policy == ["p"]
    assert summary.ci95 == pytest.approx((0.0456, 0.6994), abs=1e-4)
    assert {"suite", "method", "n", "accuracy", "ci95"} <= set(summary.model_dump())


def test_a_run_without_records_has_no_accuracy_to_speak_of() -> None:
    summary = summarise("suite", {"method": "m"}, [], wanted=2, concurrency=1, out="")
    assert (summary.n, summary.accuracy, summary.ci95) == (0, 0.0, (0.0, 1.0))


def test_two_runs_are_compared_on_what_they_share() -> None:
    def run(right: str, ids: str) -> dict[str, Record]:
        return {i: record(i, correct=i in right) for i in ids}

    first, second = run("ab", "abcdefgh"), run("acdefg", "abcdefg")
    second["g"] = record("g", correct=True, digest="other")
    result = compare(first, second)
    assert result.n == 6
    assert result.both == 1
    assert result.only_first == ["b"]
    assert result.only_second == ["c", "d", "e", "f"]
    assert result.difference == pytest.approx(3 / 6)
    assert result.p_value == pytest.approx(0.375)
    assert result.left_out == 2


def test_runs_on_different_problems_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="share no problem"):
        compare({"a": record("a")}, {"b": record("b")})
