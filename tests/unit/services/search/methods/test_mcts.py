"""Tree search by UCT: small cases by hand."""

import pytest

from services.search.forest import Forest
from services.search.node import Node, Outcome
from services.search.tree import Expansion, Guidance, Trial
from tests.support.search_world import answered, ask, chain, forest, step, told, tree_of


def text_of(grown: Forest, trial: Trial) -> str:
    """The step that a trial expands."""
    node = grown.node(trial)
    assert node.step is not None
    return node.step.text


def children(grown: Forest) -> dict[str, Node]:
    """The root's children by text."""
    root = tree_of(grown).root
    return {node.step.text: node for node in root.children.values() if node.step}


def test_identical_candidates_are_merged_and_counted() -> None:
    grown = forest()
    twice = chain(step("a"), answered("b", "1"))
    told(grown, twice, twice, chain(step("a"), answered("c", "2")))
    assert grown.size == 3
    first = children(grown)["a"]
    assert (first.samples, first.visits, first.votes) == (3, 3, {"1": 2, "2": 1})


def test_agreeing_answers_are_worth_more() -> None:
    grown = forest()
    told(
        grown,
        chain(step("a"), answered("x", "1")),
        chain(step("b"), answered("x", "1")),
        chain(step("c"), answered("x", "2")),
    )
    q = {text: tree_of(grown).q(node) for text, node in children(grown).items()}
    assert q["a"] == q["b"] == pytest.approx(2 * 2 / 3 - 1)
    assert q["c"] == pytest.approx(2 * 1 / 3 - 1)
    assert tree_of(grown).q(tree_of(grown).root) == pytest.approx((1 / 3 + 1 / 3 - 1 / 3) / 3)


def test_a_failed_trajectory_is_worth_minus_one() -> None:
    grown = forest()
    told(grown, chain(step("a"), step("b", Outcome.FAILED, error="NameError: x")))
    first = children(grown)["a"]
    assert (first.visits, tree_of(grown).q(first)) == (1, -1.0)
    assert grown.rollouts == 1


def test_a_guided_tree_starts_from_ppm_scores_and_follows_the_best() -> None:
    grown = forest(expansion=Expansion.STEP, guidance=Guidance.PPM, exploration=0.1)
    scores = {"bad": -0.5, "good": 0.75, "fair": 0.25}
    first = told(grown, *(chain(step(text, ppm_score=score)) for text, score in scores.items()))
    second = ask(grown)
    assert second.rollout == first.rollout  # the same rollout goes on
    node = grown.node(second)
    assert (text_of(grown, second), node.visits, tree_of(grown).q(node)) == ("good", 1, 0.75)
    grown.tell(second.id, [chain(answered("end", "7", ppm_score=1.0))])
    # The terminal's value is added along the path, to the score that it began with (equation 2).
    assert tree_of(grown).q(node) == pytest.approx((0.75 + 1.0) / 2)
    assert grown.rollouts == 1


def test_ground_truth_backs_up_right_and_wrong() -> None:
    grown = forest(expansion=Expansion.STEP, guidance=Guidance.GROUND_TRUTH)
    told(
        grown,
        chain(answered("a", "1", correct=True)),
        chain(answered("b", "2", correct=False)),
        chain(answered("c", "3", correct=False)),
    )
    assert tree_of(grown).q(tree_of(grown).root) == pytest.approx(-1 / 3)
    assert grown.ballot.solved
    assert grown.exhausted


def test_with_a_ppm_the_known_answer_decides_solutions_and_the_scores_begin_steps() -> None:
    # The paper's rounds 3 and 4: equation 3 for q^0, equation 2 with the known answer at the end.
    grown = forest(guidance=Guidance.GROUND_TRUTH, guided=True)
    told(grown, chain(step("a", ppm_score=0.5), answered("b", "1", ppm_score=0.9, correct=False)))
    first = children(grown)["a"]
    assert (first.visits, tree_of(grown).q(first)) == (2, pytest.approx((0.5 - 1) / 2))
    (end,) = first.children.values()
    assert (end.visits, tree_of(grown).q(end)) == (1, -1.0)


def test_a_dead_end_is_closed_and_backed_up() -> None:
    grown = forest(expansion=Expansion.STEP, candidates=1)
    told(grown, chain(step("a")))
    assert grown.rollouts == 0
    second = told(grown, chain(step("b", Outcome.FAILED, error="ValueError")))
    assert grown.rollouts == 1
    assert tree_of(grown).q(grown.node(second)) == -1.0
    assert grown.exhausted


def test_a_candidate_without_a_step_ends_its_rollout() -> None:
    grown = forest(expansion=Expansion.STEP, candidates=1)
    told(grown, chain())
    assert grown.rollouts == 1
    assert tree_of(grown).q(tree_of(grown).root) == -1.0


def test_what_is_made_up_for_in_vain_leaves_the_rollout_where_it_can_go_on() -> None:
    grown = forest(expansion=Expansion.STEP, candidates=3)
    told(grown, chain(step("a")))
    told(grown, chain(step("b", Outcome.FAILED, error="ValueError")), chain())
    assert (grown.rollouts, tree_of(grown).root.visits) == (0, 0)
    assert text_of(grown, ask(grown)) == "a"


def test_failed_candidates_cost_their_parent_nothing_where_others_live() -> None:
    grown = forest(expansion=Expansion.STEP)
    failed = chain(step("a", Outcome.FAILED, error="ValueError"))
    told(grown, failed, chain(step("b")), failed)
    assert tree_of(grown).root.visits == 0
    assert text_of(grown, ask(grown)) == "b"


def test_rollouts_in_flight_spread_over_siblings() -> None:
    grown = forest(candidates=4)
    told(grown, *(chain(step(name), answered("x", "1")) for name in "abcd"))
    assert len({ask(grown).node_id for _ in range(4)}) == 4


def test_a_trial_that_is_taken_back_lets_its_rollout_go_on() -> None:
    grown = forest(expansion=Expansion.STEP, candidates=2)
    first = told(grown, chain(step("a")), chain(step("b")))
    second = ask(grown)
    grown.forget(second.id)
    third = ask(grown)
    assert (third.rollout, third.node_id) == (first.rollout, second.node_id)


def test_two_rollouts_walk_side_by_side() -> None:
    grown = forest(expansion=Expansion.STEP, candidates=2)
    told(grown, chain(step("a")), chain(step("b")))
    walking, other = ask(grown), ask(grown)
    assert (walking.rollout, other.rollout) == (0, 1)
    assert {text_of(grown, walking), text_of(grown, other)} == {"a", "b"}
    grown.tell(other.id, [chain(step("c"))])
    assert ask(grown).rollout == 1, "the rollout in flight is not asked again"


def test_the_depth_limit_ends_a_solution() -> None:
    grown = forest(depth=2)
    told(grown, chain(step("a"), step("b"), answered("c", "1")))
    assert max(node.depth for node in tree_of(grown).nodes.values()) == 2
    assert grown.ballot.leader is None
    assert tree_of(grown).q(tree_of(grown).root) == -1.0


def test_a_written_answer_may_follow_the_last_step_that_depth_allows() -> None:
    grown = forest(depth=1, candidates=1)
    ended = step("print(1)", ends_code=True, output="1")
    told(grown, chain(ended, step("so 1", Outcome.TERMINAL, answer="1")))
    assert grown.ballot.leader is not None
    assert grown.ballot.leader.answer == "1"
    assert all(node.closed for node in children(grown).values())


def test_short_solutions_are_drawn_on_from_the_root_until_nothing_is_new() -> None:
    grown = forest(candidates=2)
    for answers in (["1", "2"], ["1", "3"], ["3", "3"]):
        trial = told(grown, *(chain(answered(f"print({a})", a)) for a in answers))
        assert (trial.node_id, trial.count) == ("root", 2)
    assert grown.exhausted
    assert tree_of(grown).root.votes == {"1": 2, "2": 1, "3": 3}


def test_single_steps_are_drawn_once_as_in_the_paper() -> None:
    grown = forest(candidates=2, expansion=Expansion.STEP)
    told(grown, *(chain(answered(f"print({a})", a)) for a in "12"))
    assert grown.exhausted


def test_a_call_that_was_cut_short_is_made_up_for() -> None:
    grown = forest(candidates=4, expansion=Expansion.STEP)
    assert told(grown, chain(step("a"))).count == 4
    # The rollout stands where three candidates are still missing.
    following = ask(grown)
    assert (following.node_id, following.count, following.rollout) == ("root", 3, 0)
    assert ask(grown, max_count=1).count == 1
