"""Every method, in one tree or several: properties over random worlds."""

import random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from services.search.answer import AnswerRule
from services.search.forest import Forest, ForestConfig
from services.search.methods.presets import Method
from services.search.node import Node, Outcome
from services.search.tree import EventError, Expanded, Expansion, Guidance, Tree
from tests.support.search_world import (
    World,
    answered,
    ask,
    batch,
    chain,
    config,
    forest,
    grow,
    snapshot,
    step,
    told,
)

shapes = st.builds(
    config,
    method=st.sampled_from([Method.MCTS, Method.MCTS, Method.BEAM, Method.MAJORITY]),
    answer=st.sampled_from(AnswerRule),
    candidates=st.integers(1, 4),
    depth=st.integers(1, 5),
    exploration=st.floats(0, 4),
    expansion=st.sampled_from(Expansion),
    guidance=st.sampled_from(Guidance),
    trees=st.integers(1, 3),
    beam_width=st.integers(1, 4),
)
seeds = st.integers(0, 2**32)


@given(shape=shapes, seed=seeds, parallel=st.integers(1, 6))
@settings(max_examples=150, deadline=None)
def test_counts_add_up_and_values_stay_in_range(
    shape: ForestConfig, seed: int, parallel: int
) -> None:
    grown = Forest(shape)
    grow(grown, World(seed, shape), trials=40, parallel=parallel)
    for tree in grown.trees:
        for node in tree.nodes.values():
            _check(tree, node)
    votes = sum(sum(tree.root.votes.values()) for tree in grown.trees)
    assert votes == sum(one.trajectories for one in grown.ballot.ranked())


def _check(tree: Tree, node: Node) -> None:
    assert (node.in_flight, node.expanding) == (0, 0)
    assert -1.0 <= tree.q(node) <= 1.0
    assert node.depth <= tree.config.depth
    children = node.children.values()
    below = sum(child.visits - _prior(child) for child in children)
    # What is not below ended here.
    ended = node.visits - _prior(node) - below
    assert ended >= 0
    if node.outcome is Outcome.TERMINAL:
        assert ended == node.samples == sum(node.votes.values())
    for answer, votes in node.votes.items():
        if node.outcome is not Outcome.TERMINAL:
            assert votes == sum(child.votes.get(answer, 0) for child in children)
    assert node.open_children == sum(not child.closed for child in children)
    assert node.free_children == sum(child.free for child in children)
    assert not (node.free and node.closed)
    if node.outcome is not Outcome.OPEN:
        assert node.closed
        assert not node.children


def _prior(node: Node) -> int:
    is_open = node.outcome is Outcome.OPEN
    return int(is_open and node.step is not None and node.step.ppm_score is not None)


@given(shape=shapes, seed=seeds, parallel=st.integers(2, 6), order=seeds)
@settings(max_examples=150, deadline=None)
def test_order_of_arrival_within_a_batch_does_not_matter(
    shape: ForestConfig, seed: int, parallel: int, order: int
) -> None:
    world, rng = World(seed, shape), random.Random(order)
    straight, shuffled = Forest(shape), Forest(shape)
    for _ in range(12):
        batches = [batch(grown, parallel) for grown in (straight, shuffled)]
        assert batches[0] == batches[1]
        rng.shuffle(batches[1])
        for grown, asked in zip((straight, shuffled), batches, strict=True):
            for trial in asked:
                grown.tell(trial.id, world.reply(trial))
        assert snapshot(straight) == snapshot(shuffled)


@given(shape=shapes, seed=seeds, parallel=st.integers(1, 6), lost=st.integers(0, 3))
@settings(max_examples=150, deadline=None)
def test_a_forest_is_a_fold_over_its_events(
    shape: ForestConfig, seed: int, parallel: int, lost: int
) -> None:
    world, grown = World(seed, shape), Forest(shape)
    events = grow(grown, world, 20, parallel)
    # What was in flight when a replica died is not in its log.
    for trial in batch(grown, lost):
        grown.forget(trial.id)
    again = Forest.replay(shape, [*events, *events])
    assert snapshot(again) == snapshot(grown)


@given(shape=shapes, seed=seeds, parallel=st.integers(1, 6))
@settings(max_examples=100, deadline=None)
def test_a_forest_that_was_replayed_goes_on_in_the_same_way(
    shape: ForestConfig, seed: int, parallel: int
) -> None:
    world, grown = World(seed, shape), Forest(shape)
    again = Forest.replay(shape, grow(grown, world, 15, parallel))
    assert grow(again, world, 10) == grow(grown, world, 10)
    assert snapshot(again) == snapshot(grown)


@given(shape=shapes, seed=seeds, parallel=st.integers(1, 6), most=st.integers(1, 4))
@settings(max_examples=100, deadline=None)
def test_what_is_not_exhausted_can_be_asked(
    shape: ForestConfig, seed: int, parallel: int, most: int
) -> None:
    world, grown = World(seed, shape), Forest(shape)
    for _ in range(12):
        grow(grown, world, parallel, parallel)
        if not grown.exhausted:
            # What is affordable may be less than a node's candidates.
            trial = ask(grown, most)
            assert 1 <= trial.count <= most
            grown.tell(trial.id, world.reply(trial))


@given(shape=shapes, seed=seeds)
@settings(max_examples=50, deadline=None)
def test_every_search_but_sampling_ends(shape: ForestConfig, seed: int) -> None:
    assume(shape.method is not Method.MAJORITY)
    grown = Forest(shape)
    # Eight letters: the scripted world holds no more nodes than this, and each trial but the last
    # at a node brings a new one or uses up draws.
    nodes = sum(8**depth for depth in range(shape.tree.depth + 1))
    grow(grown, World(seed, shape), trials=shape.trees * nodes * (shape.tree.candidates + 1))
    assert grown.exhausted
    assert grown.ask() is None


@given(shape=shapes, seed=seeds, parallel=st.integers(1, 6))
@settings(max_examples=100, deadline=None)
def test_the_first_two_answers_are_those_of_a_full_ranking(
    shape: ForestConfig, seed: int, parallel: int
) -> None:
    world, grown = World(seed, shape), Forest(shape)
    for _ in range(10):
        grow(grown, world, parallel, parallel)
        ranked = grown.ballot.ranked()
        assert [grown.ballot.leader, grown.ballot.second] == [*ranked, None, None][:2]
        if grown.ballot.leader is not None and sum(map(grown.ballot.weight, ranked)):
            assert sum(map(grown.ballot.share, ranked)) == pytest.approx(1)


def test_a_trial_counts_once() -> None:
    grown = forest()
    trial = ask(grown)
    assert grown.tell(trial.id, [chain(answered("a", "1"))]) is not None
    before = snapshot(grown)
    assert grown.tell(trial.id, [chain(answered("b", "2"))]) is None
    assert grown.tell(99, []) is None
    assert snapshot(grown) == before


def test_a_forgotten_trial_leaves_nothing_in_flight_and_its_node_free() -> None:
    grown = forest()
    trial = ask(grown)
    assert grown.ask() is None  # the root is the only node, and it is being expanded
    grown.forget(trial.id)
    assert grown.trees[0].root.in_flight == 0
    assert ask(grown).node_id == trial.node_id


def test_events_of_another_forest_are_refused_by_name() -> None:
    event = Expanded(trial=3, rollout=0, node_id="0" * 20, count=1, candidates=())
    with pytest.raises(EventError, match="trial 3: no node '000"):
        forest().apply(event)
    with pytest.raises(EventError, match="trial 3: no tree 5"):
        forest().apply(Expanded(3, 0, "root", 1, (), tree=5))


def test_trees_take_turns_by_what_they_have_had_of_the_budget() -> None:
    grown = forest(trees=3, candidates=2)
    trials = [ask(grown), ask(grown), ask(grown)]
    assert [(trial.id, trial.tree) for trial in trials] == [(0, 0), (1, 1), (2, 2)]
    solutions = [chain(step(name), answered("x", "1")) for name in "ab"]
    grown.tell(1, solutions)
    grown.tell(0, solutions[:1])
    # Tree 0 has one rollout, tree 1 two, tree 2 two in flight.
    following = ask(grown)
    assert (following.id, following.tree) == (3, 0)


def test_solutions_of_all_trees_vote_together() -> None:
    grown = forest(trees=2, candidates=2)
    for answers in (["1", "2"], ["2", "3"]):
        told(grown, *(chain(answered(f"print({a})", a)) for a in answers))
    assert [(one.answer, one.trajectories) for one in grown.ballot.ranked()] == [
        ("2", 2),
        ("1", 1),
        ("3", 1),
    ]
    assert grown.rollouts == 4
    assert grown.size == 4


def test_a_step_below_an_ended_one_is_dropped() -> None:
    grown = forest()
    failed = step("a", Outcome.FAILED, error="ValueError")
    # A flaky step may fail in one trial and run in another; the tree keeps what came first.
    told(grown, chain(failed), chain(step("a"), answered("b", "1")))
    assert [node.id for node in grown.trees[0].nodes.values() if node.children] == ["root"]
    assert grown.ballot.leader is None
