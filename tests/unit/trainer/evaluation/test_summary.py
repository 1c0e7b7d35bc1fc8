import pytest

from trainer.evaluation.records import Failure, RatedAnswer, Record, Usage
from trainer.evaluation.rules import Choice
from trainer.evaluation.summary import Summary, compare, summarise
from trainer.problems.problem import Problem


def record(identity: str, *, correct: bool = False, digest: str = "d", **fields: object) -> Record:
    given = {
        "problem_digest": digest,
        "gold": "1",
        "seed": 1,
        "grader": "g",
        "settings_digest": "s",
    }
    return Record(id=identity, correct=correct, **(given | fields))


def problem(identity: str, level: str = "") -> Problem:
    return Problem(identity, "q", "1", level)


def summary_of(
    method: str, records: list[Record], problems: list[Problem], price: float = 0.0
) -> Summary:
    return summarise(
        {"suite": "suite", "method": method},
        problems,
        records,
        concurrency=2,
        dollars_per_million=price,
        out="folder",
    )


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
    summary = summary_of("search", records, [problem(name) for name in "abcde"])
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
    summary = summary_of("search", [], [problem("a"), problem("b")])
    assert (summary.n, summary.accuracy, summary.ci95) == (0, 0.0, (0.0, 1.0))


def sampled(identity: str, right: int, wrong: int) -> Record:
    return record(
        identity,
        alternatives=[
            RatedAnswer(answer="1", weight=0.5, trajectories=right, correct=True),
            RatedAnswer(answer="2", weight=0.5, trajectories=wrong, correct=False),
        ],
        usage=Usage(rollouts=4),
    )


def by_rules(identity: str, **right: bool) -> Record:
    rules = {name: Choice(answer="1", correct=correct) for name, correct in right.items()}
    return record(identity, answer="1", rules=rules)


def test_answer_rules_stand_side_by_side_over_all_problems() -> None:
    records = [
        by_rules("a", majority=True, likeliest=False),
        by_rules("b", majority=True, likeliest=True),
        record("c", stop_reason="tokens"),
        record("d", failure=Failure(code="INTERNAL", details="")),
    ]
    rules = summary_of("mcts", records, [problem(name) for name in "abcd"]).rules
    assert {name: one.accuracy for name, one in rules.items()} == {
        "majority": 0.5,
        "likeliest": 0.25,
    }
    assert rules["majority"].ci95 == pytest.approx((0.15, 0.85), abs=1e-2)


def test_a_run_that_kept_no_trees_of_a_solved_problem_has_no_rules() -> None:
    records = [by_rules("a", majority=True), record("b", answer="1")]
    assert summary_of("mcts", records, [problem("a"), problem("b")]).rules == {}


def test_problems_that_both_runs_solved_in_the_same_way_are_counted() -> None:
    first = {"a": sampled("a", 2, 2), "b": sampled("b", 1, 3), "c": sampled("c", 1, 3)}
    longer = sampled("b", 1, 3).model_copy(update={"usage": Usage(rollouts=4, policy_tokens=9)})
    second = {"a": sampled("a", 2, 2), "b": longer, "c": sampled("c", 2, 2)}
    assert compare(first, first).alike == 3
    assert compare(first, second).alike == 1


def test_two_runs_are_compared_by_the_rules_that_are_named() -> None:
    first = {"a": by_rules("a", majority=True, likeliest=False)}
    second = {"a": by_rules("a", majority=False, likeliest=True)}
    assert compare(first, second, ("majority", "majority")).only_first == ["a"]
    assert compare(first, second, ("likeliest", "likeliest")).only_second == ["a"]
    assert compare(first, second, ("majority", "likeliest")).both == 1
    with pytest.raises(ValueError, match="rule 'best'"):
        compare(first, second, ("", "best"))


def test_independent_samples_give_pass_at_k() -> None:
    # The second problem has one sample that ended without an answer, which is a wrong one.
    records = [sampled("a", 2, 2), sampled("b", 0, 3)]
    summary = summary_of("best_of_n@4", records, [problem("a"), problem("b")])
    assert summary.pass_at_k == pytest.approx({1: 0.25, 2: (1 - 1 / 6) / 2, 4: 0.5})
    assert summary.majority_at_k[1] == pytest.approx(0.25, abs=0.08)
    assert set(summary.majority_at_k) == {1, 2, 4}


def test_pass_at_k_is_not_given_for_a_tree_or_for_missing_samples() -> None:
    records = [sampled("a", 2, 2)]
    assert summary_of("search", records, [problem("a")]).pass_at_k == {}
    assert summary_of("best_of_n@8", records, [problem("a")]).pass_at_k == {}
    assert summary_of("best_of_n@4", [], [problem("a")]).pass_at_k == {}


def test_accuracy_is_given_by_level_where_there_are_levels() -> None:
    records = [record("a", correct=True), record("b"), record("c", correct=True)]
    problems = [problem("a", "Level 1"), problem("b", "Level 1"), problem("c")]
    (level,) = summary_of("search", records, problems).by_level
    assert (level.level, level.n, level.accuracy) == ("Level 1", 2, 0.5)


def test_a_price_makes_dollars() -> None:
    records = [record("a", usage=Usage(policy_tokens=2_000))]
    assert summary_of("search", records, [problem("a")]).dollars_per_problem is None
    priced = summary_of("search", records, [problem("a")], price=0.5)
    assert priced.dollars_per_problem == pytest.approx(0.001)


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
