"""The tree: properties over random worlds, and small cases by hand."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.search.node import Node, Outcome
from services.search.tree import Candidate, Expanded, Expansion, Guidance, Tree, TreeConfig
from tests.support.search_world import World, answered, config, grow, snapshot, step

shapes = st.builds(
    config,
    candidates=st.integers(1, 4),
    depth=st.integers(1, 5),
    exploration=st.floats(0, 4),
    expansion=st.sampled_from(Expansion),
    guidance=st.sampled_from(Guidance),
)
seeds = st.integers(0, 2**32)


@given(shape=shapes, seed=seeds, parallel=st.integers(1, 6))
@settings(max_examples=150, deadline=None)
def test_counts_add_up_and_values_stay_in_range(
    shape: TreeConfig, seed: int, parallel: int
) -> None:
    tree = Tree(shape)
    grow(tree, World(seed, shape), trials=40, parallel=parallel)
    for node in tree.nodes.values():
        assert node.in_flight == 0
        assert -1.0 <= tree.q(node) <= 1.0
        assert node.depth <= shape.depth
        prior = _prior(tree, node)
        below = sum(child.visits - _prior(tree, child) for child in node.children.values())
        # What is not below ended here.
        assert node.visits - prior >= below
        assert node.votes.total() <= node.visits
        if node.outcome is not Outcome.OPEN:
            assert node.closed
            assert not node.children


def _prior(tree: Tree, node: Node) -> int:
    has_score = node.step is not None and node.step.ppm_score is not None
    return int(tree.config.guidance is Guidance.PPM and has_score)


@given(shape=shapes, seed=seeds, parallel=st.integers(2, 6), order=seeds)
@settings(max_examples=150, deadline=None)
def test_order_of_arrival_within_a_batch_does_not_matter(
    shape: TreeConfig, seed: int, parallel: int, order: int
) -> None:
    world, rng = World(seed, shape), random.Random(order)
    straight, shuffled = Tree(shape), Tree(shape)
    for _ in range(12):
        batches = [
            [trial for _ in range(parallel) if (trial := tree.ask()) is not None]
            for tree in (straight, shuffled)
        ]
        assert batches[0] == batches[1]
        rng.shuffle(batches[1])
        for tree, batch in zip((straight, shuffled), batches, strict=True):
            for trial in batch:
                tree.tell(trial.id, world.reply(trial))
        assert snapshot(straight) == snapshot(shuffled)


@given(shape=shapes, seed=seeds, parallel=st.integers(1, 6))
@settings(max_examples=150, deadline=None)
def test_the_tree_is_a_fold_over_its_events(shape: TreeConfig, seed: int, parallel: int) -> None:
    world, tree = World(seed, shape), Tree(shape)
    events = [e for e in grow(tree, world, 20, parallel) if isinstance(e, Expanded)]
    again = Tree.replay(shape, events)
    assert snapshot(again) == snapshot(tree)
    grow(tree, world, 10)
    grow(again, world, 10)
    assert snapshot(again) == snapshot(tree)


@given(shape=shapes, seed=seeds)
@settings(max_examples=50, deadline=None)
def test_an_event_counts_once(shape: TreeConfig, seed: int) -> None:
    tree = Tree(shape)
    events = [e for e in grow(tree, World(seed, shape), 10) if isinstance(e, Expanded)]
    assert snapshot(Tree.replay(shape, [*events, *events])) == snapshot(tree)


@given(shape=shapes, seed=seeds)
@settings(max_examples=50, deadline=None)
def test_every_search_ends(shape: TreeConfig, seed: int) -> None:
    tree = Tree(shape)
    # Eight letters: the scripted world holds no more nodes than this, and each trial but the last
    # at a node brings a new one or uses up draws.
    bound = sum(8**depth for depth in range(shape.depth + 1)) * (shape.candidates + 1)
    grow(tree, World(seed, shape), trials=bound)
    assert tree.exhausted
    assert tree.ask() is None


def test_a_trial_counts_once() -> None:
    tree = Tree(config())
    trial = tree.ask()
    assert trial is not None
    assert tree.tell(trial.id, [Candidate((answered("a", "1"),))]) is not None
    before = snapshot(tree)
    assert tree.tell(trial.id, [Candidate((answered("b", "2"),))]) is None
    assert tree.tell(99, []) is None
    assert snapshot(tree) == before


def test_a_forgotten_trial_leaves_nothing_in_flight_and_its_node_free() -> None:
    tree = Tree(config())
    trial = tree.ask()
    assert trial is not None
    assert tree.ask() is None  # the root is the only node, and it is being expanded
    tree.forget(trial.id)
    assert tree.root.in_flight == 0
    again = tree.ask()
    assert again is not None
    assert again.node_id == trial.node_id


def test_identical_candidates_are_merged_and_counted() -> None:
    tree = Tree(config())
    trial = tree.ask()
    assert trial is not None
    twice = Candidate((step("a"), answered("b", "1")))
    tree.tell(trial.id, [twice, twice, Candidate((step("a"), answered("c", "2")))])
    assert len(tree.nodes) == 4
    (first,) = tree.root.children.values()
    assert (first.samples, first.visits, first.votes) == (3, 3, {"1": 2, "2": 1})


def test_agreeing_answers_are_worth_more() -> None:
    tree = Tree(config())
    trial = tree.ask()
    assert trial is not None
    tree.tell(
        trial.id,
        [
            Candidate((step("a"), answered("x", "1"))),
            Candidate((step("b"), answered("x", "1"))),
            Candidate((step("c"), answered("x", "2"))),
        ],
    )
    q = {node.step.text: tree.q(node) for node in tree.root.children.values() if node.step}
    assert q["a"] == q["b"] == pytest.approx(2 * 2 / 3 - 1)
    assert q["c"] == pytest.approx(2 * 1 / 3 - 1)
    assert tree.q(tree.root) == pytest.approx((1 / 3 + 1 / 3 - 1 / 3) / 3)


def test_a_failed_trajectory_is_worth_minus_one() -> None:
    tree = Tree(config())
    trial = tree.ask()
    assert trial is not None
    failed = Candidate((step("a"), step("b", Outcome.FAILED, error="NameError: x")))
    tree.tell(trial.id, [failed])
    (first,) = tree.root.children.values()
    assert (first.visits, tree.q(first)) == (1, -1.0)
    assert tree.rollouts == 1


def test_a_guided_tree_starts_from_ppm_scores_and_follows_the_best() -> None:
    tree = Tree(config(expansion=Expansion.STEP, guidance=Guidance.PPM, exploration=0.1))
    first = tree.ask()
    assert first is not None
    tree.tell(
        first.id,
        [
            Candidate((step("bad", ppm_score=-0.5),)),
            Candidate((step("good", ppm_score=0.75),)),
            Candidate((step("fair", ppm_score=0.25),)),
        ],
    )
    second = tree.ask()
    assert second is not None
    assert second.rollout == first.rollout  # the same rollout goes on
    node = tree.nodes[second.node_id]
    assert node.step is not None
    assert (node.step.text, node.visits, tree.q(node)) == ("good", 1, 0.75)
    tree.tell(second.id, [Candidate((answered("end", "7", ppm_score=1.0),))])
    # Equation 2: the terminal's value is added along the path, to the score that it began with.
    assert tree.q(node) == pytest.approx((0.75 + 1.0) / 2)
    assert tree.rollouts == 1


def test_ground_truth_backs_up_right_and_wrong() -> None:
    tree = Tree(config(expansion=Expansion.STEP, guidance=Guidance.GROUND_TRUTH))
    trial = tree.ask()
    assert trial is not None
    tree.tell(
        trial.id,
        [
            Candidate((answered("a", "1", correct=True),)),
            Candidate((answered("b", "2", correct=False),)),
            Candidate((answered("c", "3", correct=False),)),
        ],
    )
    assert tree.q(tree.root) == pytest.approx(-1 / 3)
    assert tree.exhausted


def test_a_dead_end_is_closed_and_backed_up() -> None:
    tree = Tree(config(expansion=Expansion.STEP, candidates=1))
    first = tree.ask()
    assert first is not None
    tree.tell(first.id, [Candidate((step("a"),))])
    assert tree.rollouts == 0
    second = tree.ask()
    assert second is not None
    tree.tell(second.id, [Candidate((step("b", Outcome.FAILED, error="ValueError"),))])
    assert tree.rollouts == 1
    assert tree.q(tree.nodes[second.node_id]) == -1.0
    assert tree.exhausted


def test_failed_candidates_cost_their_parent_nothing_where_others_live() -> None:
    tree = Tree(config(expansion=Expansion.STEP))
    trial = tree.ask()
    assert trial is not None
    failed = Candidate((step("a", Outcome.FAILED, error="ValueError"),))
    tree.tell(trial.id, [failed, Candidate((step("b"),)), failed])
    assert tree.root.visits == 0
    following = tree.ask()
    assert following is not None
    chosen = tree.nodes[following.node_id].step
    assert chosen is not None
    assert chosen.text == "b"


def test_rollouts_in_flight_spread_over_siblings() -> None:
    tree = Tree(config(candidates=4))
    trial = tree.ask()
    assert trial is not None
    chains = [Candidate((step(name), answered("x", "1"))) for name in "abcd"]
    tree.tell(trial.id, chains)
    asked = [tree.ask() for _ in range(4)]
    assert len({one.node_id for one in asked if one is not None}) == 4


def test_the_depth_limit_ends_a_solution() -> None:
    tree = Tree(config(depth=2))
    trial = tree.ask()
    assert trial is not None
    tree.tell(trial.id, [Candidate((step("a"), step("b"), answered("c", "1")))])
    assert max(node.depth for node in tree.nodes.values()) == 2
    assert list(tree.terminals()) == []
    assert tree.q(tree.root) == -1.0


def test_a_written_answer_may_follow_the_last_step_that_depth_allows() -> None:
    tree = Tree(config(depth=1, candidates=1))
    trial = tree.ask()
    assert trial is not None
    ended = step("print(1)", ends_code=True, output="1")
    tree.tell(trial.id, [Candidate((ended, step("so 1", Outcome.TERMINAL, answer="1")))])
    assert [node.votes for node in tree.terminals()] == [{"1": 1}]
    assert all(node.closed for node in tree.root.children.values())


def test_short_solutions_are_drawn_on_from_the_root_until_nothing_is_new() -> None:
    tree = Tree(config(candidates=2))
    rounds = [["1", "2"], ["1", "3"], ["3", "3"]]
    for answers in rounds:
        trial = tree.ask()
        assert trial is not None
        assert (trial.node_id, trial.count) == ("root", 2)
        tree.tell(trial.id, [Candidate((answered(f"print({a})", a),)) for a in answers])
    assert tree.exhausted
    assert tree.root.votes == {"1": 2, "2": 1, "3": 3}


def test_single_steps_are_drawn_once_as_in_the_paper() -> None:
    tree = Tree(config(candidates=2, expansion=Expansion.STEP))
    trial = tree.ask()
    assert trial is not None
    tree.tell(trial.id, [Candidate((answered(f"print({a})", a),)) for a in "12"])
    assert tree.exhausted
