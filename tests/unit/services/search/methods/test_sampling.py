"""Independent samples: best of n, majority, greedy."""

import pytest

from services.search.methods.presets import Method
from tests.support.search_world import answered, ask, batch, chain, forest, told, tree_of


def test_samples_are_drawn_at_the_root_by_many_trials_at_once() -> None:
    grown = forest(method=Method.MAJORITY, candidates=4)
    trials = batch(grown, 3)
    assert [(trial.node_id, trial.count) for trial in trials] == [("root", 4)] * 3
    for trial in reversed(trials):
        grown.tell(trial.id, [chain(answered("print(1)", "1"))] * 4)
    assert grown.rollouts == 12
    assert tree_of(grown).root.votes == {"1": 12}
    assert ask(grown).count == 4, "that nothing was new is no reason to stop voting"


def test_samples_that_never_come_are_spent() -> None:
    grown = forest(method=Method.MAJORITY, candidates=4)
    told(grown)
    assert grown.rollouts == 4
    told(grown, chain(answered("print(1)", "1")))
    assert grown.rollouts == 5


@pytest.mark.parametrize("drawn", [0, 1])
def test_greedy_draws_one_solution_whether_or_not_anything_came_of_it(drawn: int) -> None:
    grown = forest(method=Method.GREEDY, candidates=1)
    trial = ask(grown)
    assert trial.count == 1
    assert grown.ask() is None
    grown.tell(trial.id, [chain(answered("print(1)", "1"))] * drawn)
    assert grown.exhausted
    assert grown.ask() is None


def test_a_greedy_trial_that_is_taken_back_is_drawn_again() -> None:
    grown = forest(method=Method.GREEDY, candidates=1)
    grown.forget(ask(grown).id)
    told(grown, chain(answered("print(1)", "1")))
    assert grown.exhausted
