"""Choosing the answer among finished solutions."""

import pytest

from services.search.answer import AnswerRule
from services.search.forest import Forest
from services.search.tree import Guidance
from tests.support.search_world import answered, ask, chain, forest, step, told


def forest_of(
    *solutions: tuple[str, float],
    rule: AnswerRule = AnswerRule.WEIGHTED,
    guidance: Guidance = Guidance.PPM,
) -> Forest:
    """A forest of solutions: answers and PPM scores."""
    grown = forest(candidates=len(solutions), answer=rule, guidance=guidance)
    told(
        grown,
        *(
            chain(answered(f"step {index}", answer, ppm_score=score))
            for index, (answer, score) in enumerate(solutions)
        ),
    )
    return grown


@pytest.mark.parametrize(
    ("rule", "answer", "weight"),
    [
        (AnswerRule.BEST, "7", 0.95 / (0.95 + 0.55)),
        (AnswerRule.MAJORITY, "5", 3 / 4),
        (AnswerRule.WEIGHTED, "7", 0.95 / (0.95 + 0.1 + 0.1 + 0.55)),
    ],
)
def test_rules_weigh_answers_differently(rule: AnswerRule, answer: str, weight: float) -> None:
    grown = forest_of(("5", -0.8), ("5", -0.8), ("5", 0.1), ("7", 0.9), rule=rule)
    ballot = grown.ballot
    assert ballot.leader is not None
    assert ballot.leader.answer == answer
    assert ballot.share(ballot.leader) == pytest.approx(weight)
    ranked = ballot.ranked()
    assert sum(map(ballot.share, ranked)) == pytest.approx(1)
    assert {one.answer: one.trajectories for one in ranked} == {"5": 3, "7": 1}


def test_the_best_solution_of_an_answer_is_its_highest_scored() -> None:
    grown = forest_of(("5", -0.8), ("5", 0.1), ("7", 0.9))
    (five,) = [one for one in grown.ballot.ranked() if one.answer == "5"]
    assert five.best is not None
    assert five.best.step is not None
    assert five.best.step.text == "step 1"


def test_without_a_ppm_the_best_solution_is_the_likeliest() -> None:
    grown = forest()
    told(
        grown,
        chain(step("a", tokens=10, mean_logprob=-0.5), answered("x", "5")),
        chain(step("b", tokens=10, mean_logprob=-0.2), answered("x", "5")),
    )
    texts = [node.step.text for node, _ in grown.best_solution() if node.step]
    assert texts == ["b", "x"]


def test_of_equal_solutions_the_first_tree_s_is_shown_whichever_came_first() -> None:
    grown = forest(trees=2, candidates=1)
    first, second = ask(grown), ask(grown)
    for trial in (second, first):
        grown.tell(trial.id, [chain(answered("x", "5"))])
    assert grown.ballot.leader is not None
    assert grown.ballot.leader.best_tree == 0


@pytest.mark.parametrize("rule", AnswerRule)
def test_without_a_ppm_every_rule_is_majority(rule: AnswerRule) -> None:
    solutions = [("5", 0.0), ("5", 0.0), ("7", 0.0)]
    grown = forest_of(*solutions, rule=rule, guidance=Guidance.CONSISTENCY)
    shares = [(one.answer, grown.ballot.share(one)) for one in grown.ballot.ranked()]
    assert shares == [("5", pytest.approx(2 / 3)), ("7", pytest.approx(1 / 3))]


def test_repeated_solutions_count_each_time() -> None:
    grown = forest()
    same = chain(step("a"), answered("b", "5"))
    told(grown, same, same, chain(answered("c", "7")))
    assert [(one.answer, one.trajectories) for one in grown.ballot.ranked()] == [("5", 2), ("7", 1)]


def test_ties_go_to_the_better_solution_and_then_to_the_lesser_key() -> None:
    grown = forest()
    told(
        grown,
        chain(answered("a", "9", tokens=5, mean_logprob=-0.1)),
        chain(answered("b", "3", tokens=5, mean_logprob=-0.4)),
        chain(answered("c", "2", tokens=5, mean_logprob=-0.4)),
    )
    assert [one.answer for one in grown.ballot.ranked()] == ["9", "2", "3"]
    assert [one and one.answer for one in (grown.ballot.leader, grown.ballot.second)] == ["9", "2"]


def test_no_solution_no_answer() -> None:
    assert forest().ballot.ranked() == []
    assert forest().ballot.leader is None
