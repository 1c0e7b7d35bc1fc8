"""Budgets: what may still be asked for."""

import random

import pytest

from services.search.budget import Ledger
from services.search.methods.presets import Method
from services.search.tree import Expansion
from tests.support.search_world import answered, ask, chain, forest, step, told


def ledger(
    rollouts: int = 100, tokens: int = 10_000, *, expected: float = 10.0, **state: int
) -> Ledger:
    return Ledger((rollouts,), tokens, deadline=5.0, expected_tokens=expected, **state)


def test_candidates_in_flight_are_reserved_at_the_mean() -> None:
    grown = forest()
    # 10 tokens a candidate, 60 left: six more, of which four are under way.
    account = ledger(tokens=100, spent_tokens=40, candidates=4, in_flight=4)
    assert account.affordable(grown) == 2
    account.in_flight = 6
    assert account.affordable(grown) == 0


def test_half_of_the_tokens_are_promised_before_a_length_is_known() -> None:
    account = ledger(tokens=1280, expected=128)
    assert account.affordable(forest()) == 5
    account.in_flight = 5
    assert account.affordable(forest()) == 0
    account.in_flight, account.candidates, account.spent_tokens = 0, 5, 640
    assert account.affordable(forest()) == 5, "the other half, at the length that was seen"
    assert ledger(tokens=500, expected=128).affordable(forest()) == 2
    assert ledger(tokens=20, expected=128).affordable(forest()) == 1, "one at least is drawn"


def test_too_little_for_another_candidate_is_left_unspent() -> None:
    account = ledger(tokens=100, expected=20, spent_tokens=80, candidates=4)
    assert account.affordable(forest()) == 1
    account.spent_tokens = 95
    assert account.affordable(forest()) == 0


def test_no_candidate_may_take_much_more_than_what_is_left() -> None:
    account = ledger(tokens=500, expected=100)
    assert account.candidate_cap(512) == 512
    account.spent_tokens, account.candidates = 400, 4
    assert account.mean_tokens == pytest.approx(100)
    assert account.candidate_cap(512) == 200
    account.spent_tokens = 10_000
    assert account.candidate_cap(512) == 1


def test_trajectories_never_exceed_the_rollouts() -> None:
    grown = forest(candidates=3)
    assert ledger(rollouts=5, in_flight=2).affordable(grown) == 3
    told(grown, *(chain(answered(name, "1")) for name in "abc"))
    assert ledger(rollouts=5, in_flight=2).affordable(grown) == 0


def test_a_rung_is_reached_before_the_next_is_begun() -> None:
    account = Ledger((4, 16), 10_000, 5.0, expected_tokens=10.0, in_flight=3)
    assert account.affordable(forest()) == 1
    account.rung = 1
    assert account.affordable(forest()) == 13


@pytest.mark.parametrize(("done", "rung"), [(0, 0), (4, 0), (5, 1), (16, 1), (17, 2), (99, 2)])
def test_a_search_that_goes_on_is_past_the_rungs_below_it(done: int, rung: int) -> None:
    # At a rung itself it is not known whether the search had looked there, so it looks again.
    account = Ledger((4, 16, 64), 10_000, 5.0, expected_tokens=10.0)
    account.resume(done)
    assert account.rung == rung


def test_a_rollout_of_single_steps_may_take_many_candidates() -> None:
    grown = forest(expansion=Expansion.STEP, candidates=3)
    account = ledger(rollouts=1)
    assert account.affordable(grown) == 3
    trial = ask(grown)
    assert account.affordable(grown) == 0, "the only rollout is under way"
    grown.tell(trial.id, [chain(step(name)) for name in "abc"])
    assert account.affordable(grown) == 3, "and may go on"


def test_a_problem_of_long_solutions_keeps_its_tokens() -> None:
    overshoots = [_spend(1222, 1, seed, scale=2.0, width=8) / 1222 - 1 for seed in range(60)]
    assert sum(overshoots) / len(overshoots) < 0.25


@pytest.mark.parametrize("tokens", [300, 500, 1600, 8000])
@pytest.mark.parametrize("parallel", [1, 4])
def test_token_budgets_are_kept_on_the_average(tokens: int, parallel: int) -> None:
    overshoots = [_spend(tokens, parallel, seed) / tokens - 1 for seed in range(60)]
    assert abs(sum(overshoots) / len(overshoots)) < 0.15
    assert max(overshoots) < 1.0


def _spend(tokens: int, parallel: int, seed: int, *, scale: float = 1.0, width: int = 4) -> int:
    """Spend a budget on candidates of widely spread lengths, with a wrong idea of their mean."""
    rng = random.Random(seed)
    account = ledger(1000, tokens, expected=128.0)
    grown = forest(method=Method.MAJORITY, candidates=width)
    flying: list[tuple[int, list[int]]] = []
    while account.spent_tokens < tokens:
        while len(flying) < parallel and (count := account.affordable(grown)):
            trial, most = ask(grown, count), account.candidate_cap(512)
            lengths = [
                min(round(scale * rng.lognormvariate(4.6, 0.6)), most) for _ in range(trial.count)
            ]
            flying.append((trial.id, lengths))
            account.in_flight += trial.count
        if not flying:
            break
        trial_id, lengths = flying.pop(rng.randrange(len(flying)))
        grown.tell(trial_id, [chain(answered("x", "1"))] * len(lengths))
        account.in_flight -= len(lengths)
        account.spent_tokens += sum(lengths)
        account.candidates += len(lengths)
    return account.spent_tokens + sum(sum(lengths) for _, lengths in flying)
