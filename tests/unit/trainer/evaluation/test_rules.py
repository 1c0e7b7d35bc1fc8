import math
import random

import pytest

from trainer.evaluation.rules import MEANINGS, ORACLE, choices
from trainer.found_tree import FoundTree
from trainer.trees import ROOT_ID, TreeNode


def leaf(identity: str, answer: str, **more: object) -> TreeNode:
    given = {"parent": ROOT_ID, "tokens": 10, "mean_logprob": -1.0, "correct": answer == "right"}
    return TreeNode(
        id=identity,
        text="print(1)",
        outcome="terminal",
        answer=answer,
        **(given | more),
    )


def answers(*nodes: TreeNode) -> dict[str, str]:
    return {rule: one.answer for rule, one in choices([FoundTree(nodes)]).items()}


def test_each_rule_chooses_in_its_own_way() -> None:
    found = answers(
        leaf("a", "first", ppm_score=-0.9),
        leaf("b", "many", ppm_score=-0.8, samples=4, mean_logprob=-3.0),
        leaf("c", "likely", ppm_score=-0.7, mean_logprob=-0.1),
        leaf("d", "scored", ppm_score=0.9, mean_logprob=-2.0),
        leaf("e", "right", ppm_score=0.5, mean_logprob=-1.2),
        leaf("f", "right", ppm_score=0.6, mean_logprob=-1.2),
    )
    assert found == {
        "first": "first",
        "majority": "many",
        "likeliest": "likely",
        "by_likelihood": "likely",
        "best": "scored",
        "weighted": "right",
        ORACLE: "right",
    }


def test_without_a_ppm_there_are_no_rules_of_its_scores() -> None:
    found = answers(leaf("a", "1"), leaf("b", "2", ppm_score=0.5))
    assert set(found) == set(MEANINGS) - {"best", "weighted"}


def test_solutions_of_all_trees_vote_together_and_failed_ones_do_not() -> None:
    failed = TreeNode(id="x", parent=ROOT_ID, text="boom()", outcome="failed")
    first = FoundTree([failed, leaf("a", "1"), leaf("b", "2", mean_logprob=-0.5)])
    second = FoundTree([leaf("a", "1"), leaf("c", "3")])
    assert choices([first])["majority"].answer == "2"  # a tie, and the likelier of the two
    assert choices([first, second])["majority"].answer == "1"
    assert choices([FoundTree([failed])]) == {}


def test_a_solution_is_as_likely_as_all_its_tokens() -> None:
    step = TreeNode(
        id="s", parent=ROOT_ID, text="x = 1", outcome="open", tokens=30, mean_logprob=-2.0
    )
    tree = FoundTree([step, leaf("a", "long", parent="s", mean_logprob=-0.1), leaf("b", "short")])
    (long, _) = tree.grown().trajectories()
    assert long.likelihood == pytest.approx((-0.1 * 10 - 2.0 * 30) / 40)
    assert choices([tree])["likeliest"].answer == "short"


def test_votes_do_not_depend_on_the_order_of_arrival() -> None:
    rng = random.Random(3)
    nodes = [
        leaf(
            str(number),
            rng.choice("abc"),
            ppm_score=rng.uniform(-1, 1),
            mean_logprob=math.log(rng.random()),
            samples=rng.randint(1, 3),
        )
        for number in range(12)
    ]
    expected = answers(*nodes)
    for _ in range(20):
        rng.shuffle(nodes)
        found = answers(*nodes)
        assert {k: v for k, v in found.items() if k not in ("first", ORACLE)} == {
            k: v for k, v in expected.items() if k not in ("first", ORACLE)
        }
