"""Choosing the answer among finished solutions."""

import pytest

from services.search.answer import AnswerRule, is_settled, rank_answers
from services.search.tree import Candidate, Expansion, Guidance, Tree
from tests.support.search_world import answered, config, step


def tree_of(*solutions: tuple[str, float], guidance: Guidance = Guidance.PPM) -> Tree:
    """A tree whose root has these solutions: answers and PPM scores."""
    tree = Tree(config(candidates=len(solutions), guidance=guidance))
    trial = tree.ask()
    assert trial is not None
    tree.tell(
        trial.id,
        [
            Candidate((answered(f"step {index}", answer, ppm_score=score),))
            for index, (answer, score) in enumerate(solutions)
        ],
    )
    return tree


@pytest.mark.parametrize(
    ("rule", "answer", "weight"),
    [
        (AnswerRule.BEST, "7", 0.95 / (0.95 + 0.55)),
        (AnswerRule.MAJORITY, "5", 3 / 4),
        (AnswerRule.WEIGHTED, "7", 0.95 / (0.95 + 0.1 + 0.1 + 0.55)),
    ],
)
def test_rules_weigh_answers_differently(rule: AnswerRule, answer: str, weight: float) -> None:
    tree = tree_of(("5", -0.8), ("5", -0.8), ("5", 0.1), ("7", 0.9))
    ranked = rank_answers(tree, rule)
    assert ranked[0].answer == answer
    assert ranked[0].weight == pytest.approx(weight)
    assert sum(one.weight for one in ranked) == pytest.approx(1)
    assert {one.answer: one.trajectories for one in ranked} == {"5": 3, "7": 1}


def test_the_best_solution_of_an_answer_is_its_highest_scored() -> None:
    tree = tree_of(("5", -0.8), ("5", 0.1), ("7", 0.9))
    by_answer = {one.answer: one.best for one in rank_answers(tree, AnswerRule.MAJORITY)}
    assert by_answer["5"].step is not None
    assert by_answer["5"].step.text == "step 1"


def test_without_a_ppm_weighted_is_majority_and_best_follows_agreement() -> None:
    tree = tree_of(("5", 0), ("5", 0), ("7", 0), guidance=Guidance.CONSISTENCY)
    majority = [(a.answer, a.weight) for a in rank_answers(tree, AnswerRule.MAJORITY)]
    assert majority == [(a.answer, a.weight) for a in rank_answers(tree, AnswerRule.WEIGHTED)]
    assert rank_answers(tree, AnswerRule.BEST)[0].answer == "5"


def test_repeated_solutions_count_each_time() -> None:
    tree = Tree(config())
    trial = tree.ask()
    assert trial is not None
    same = Candidate((step("a"), answered("b", "5")))
    tree.tell(trial.id, [same, same, Candidate((answered("c", "7"),))])
    ranked = rank_answers(tree, AnswerRule.MAJORITY)
    assert [(one.answer, one.trajectories) for one in ranked] == [("5", 2), ("7", 1)]


def test_no_solution_no_answer() -> None:
    assert rank_answers(Tree(config()), AnswerRule.WEIGHTED) == []


def test_a_majority_is_settled_when_the_rest_cannot_overtake_it() -> None:
    tree = tree_of(("5", 0), ("5", 0), ("5", 0), ("7", 0), guidance=Guidance.CONSISTENCY)
    ranked = rank_answers(tree, AnswerRule.MAJORITY)
    assert is_settled(tree, ranked, AnswerRule.MAJORITY, rollouts_left=1)
    assert not is_settled(tree, ranked, AnswerRule.MAJORITY, rollouts_left=2)
    assert not is_settled(tree, ranked, AnswerRule.BEST, rollouts_left=0)
    assert not is_settled(tree, [], AnswerRule.MAJORITY, rollouts_left=0)


def test_rollouts_of_single_steps_settle_nothing() -> None:
    tree = Tree(config(expansion=Expansion.STEP, candidates=1))
    trial = tree.ask()
    assert trial is not None
    tree.tell(trial.id, [Candidate((answered("a", "5"),))])
    ranked = rank_answers(tree, AnswerRule.MAJORITY)
    assert not is_settled(tree, ranked, AnswerRule.MAJORITY, rollouts_left=0)
