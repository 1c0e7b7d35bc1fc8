"""Budgets: what may still be asked for, and what has ended a search."""

from services.search.budget import Ledger, StopReason
from services.search.tree import Candidate, Expansion, Tree
from tests.support.search_world import answered, config, step


def test_each_budget_stops_a_search_under_its_own_name() -> None:
    tree = Tree(config())
    assert Ledger(10, 100, deadline=5.0).stop_reason(tree, now=1.0) is None
    assert Ledger(10, 100, deadline=5.0).stop_reason(tree, now=5.0) is StopReason.SECONDS
    spent = Ledger(10, 100, deadline=5.0, spent_tokens=100)
    assert spent.stop_reason(tree, now=1.0) is StopReason.TOKENS
    tree.rollouts = 10
    assert Ledger(10, 100, deadline=5.0).stop_reason(tree, now=1.0) is StopReason.ROLLOUTS


def test_a_tree_with_nothing_left_is_exhausted() -> None:
    tree = Tree(config(candidates=1, expansion=Expansion.STEP))
    trial = tree.ask()
    assert trial is not None
    tree.tell(trial.id, [Candidate((answered("a", "1"),))])
    assert Ledger(10, 100, deadline=5.0).stop_reason(tree, now=1.0) is StopReason.EXHAUSTED


def test_candidates_in_flight_are_reserved() -> None:
    tree = Tree(config())
    # 10 tokens a candidate, 60 left: six more, of which four are under way.
    ledger = Ledger(100, 100, 5.0, spent_tokens=40, candidates=4, in_flight=4)
    assert ledger.affordable(tree) == 2
    ledger.in_flight = 6
    assert ledger.affordable(tree) == 0


def test_trajectories_never_exceed_the_rollouts() -> None:
    tree = Tree(config())
    ledger = Ledger(rollouts=5, tokens=10_000, deadline=5.0, in_flight=2)
    assert ledger.affordable(tree) == 3
    tree.rollouts = 3
    assert ledger.affordable(tree) == 0


def test_a_rollout_of_single_steps_may_take_many_candidates() -> None:
    tree = Tree(config(expansion=Expansion.STEP, candidates=3))
    ledger = Ledger(rollouts=1, tokens=10_000, deadline=5.0)
    assert ledger.affordable(tree) == 3
    trial = tree.ask()
    assert trial is not None
    assert ledger.affordable(tree) == 0, "the only rollout is under way"
    tree.tell(trial.id, [Candidate((step(name),)) for name in "abc"])
    assert ledger.affordable(tree) == 3, "and may go on"
