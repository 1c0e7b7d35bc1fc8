"""When a search stops."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.search.answer import AnswerRule
from services.search.budget import Ledger, StopReason
from services.search.forest import Forest
from services.search.methods.presets import Method
from services.search.stopping import confidence, is_settled, stop_reason, votes_left
from services.search.tree import Expansion, Guidance
from tests.support.search_world import answered, chain, forest, told


def ledger(*rungs: int, tokens: int = 10_000, spent: int = 0) -> Ledger:
    return Ledger(rungs, tokens, deadline=100.0, expected_tokens=10.0, spent_tokens=spent)


def voted(answers: str, **changes: object) -> Forest:
    """A forest of samples with these answers, a letter each."""
    grown = forest(method=Method.MAJORITY, candidates=1, **changes)
    for number, letter in enumerate(answers):
        told(grown, chain(answered(f"{letter} {number}", letter, ppm_score=0.0)))
    return grown


def test_each_budget_stops_a_search_under_its_own_name() -> None:
    grown = voted("ab")
    assert stop_reason(grown, ledger(10), None, now=1.0) is None
    assert stop_reason(grown, ledger(10), None, now=100.0) is StopReason.SECONDS
    spent = ledger(10, tokens=100, spent=100)
    assert stop_reason(grown, spent, None, now=1.0) is StopReason.TOKENS
    assert stop_reason(grown, ledger(2), None, now=1.0) is StopReason.ROLLOUTS


def test_a_tree_with_nothing_left_is_exhausted() -> None:
    grown = forest(candidates=2, expansion=Expansion.STEP)
    told(grown, *(chain(answered(letter, letter)) for letter in "ab"))
    assert stop_reason(grown, ledger(10), None, now=1.0) is StopReason.EXHAUSTED


def test_a_majority_is_settled_when_the_rest_cannot_overtake_it() -> None:
    grown = voted("aaab")
    assert stop_reason(grown, ledger(5), None, now=1.0) is StopReason.CONFIDENT
    # Two more could draw level, and a tie may go either way.
    assert stop_reason(grown, ledger(6), None, now=1.0) is None


def test_tokens_bound_the_votes_to_come() -> None:
    assert votes_left(voted("aaab"), ledger(100, tokens=1000, spent=999)) == 1
    nearly = ledger(100, tokens=1000, spent=999)
    assert stop_reason(voted("aaab"), nearly, None, now=1.0) is StopReason.CONFIDENT


def test_a_rollout_of_single_steps_may_bring_as_many_votes_as_candidates() -> None:
    grown = forest(candidates=3, expansion=Expansion.STEP)
    assert votes_left(grown, ledger(5)) == 15
    assert votes_left(voted(""), ledger(5)) == 5


def test_a_weighted_majority_is_settled_by_weight() -> None:
    # A score of 0 weighs half a vote, one to come at most a whole one.
    grown = voted("aaaa", guidance=Guidance.PPM, answer=AnswerRule.WEIGHTED)
    assert is_settled(grown.ballot, 1)
    assert not is_settled(grown.ballot, 2)


def test_the_best_solution_is_never_settled_by_votes() -> None:
    grown = voted("aaaa", guidance=Guidance.PPM, answer=AnswerRule.BEST)
    assert not is_settled(grown.ballot, 0)
    assert confidence(grown.ballot) == 0.0


@given(answers=st.text("abc", max_size=12), left=st.integers(0, 8), seed=st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_what_is_settled_stays(answers: str, left: int, seed: int) -> None:
    before = voted(answers).ballot
    rng = random.Random(seed)
    after = voted(answers + "".join(rng.choices("abc", k=left))).ballot
    if is_settled(before, left):
        assert before.leader is not None
        assert after.leader is not None
        assert after.leader.answer == before.leader.answer


def test_a_posterior_beyond_the_threshold_stops_a_search() -> None:
    grown = voted("aaaa")
    assert confidence(grown.ballot) == pytest.approx(1 - 0.5**5)
    assert stop_reason(grown, ledger(1000), 0.96, now=1.0) is StopReason.CONFIDENT
    assert stop_reason(grown, ledger(1000), 0.97, now=1.0) is None
    assert stop_reason(grown, ledger(1000), None, now=1.0) is None, "off where it is not asked for"


def test_a_ladder_is_climbed_until_the_answer_is_confident() -> None:
    rungs = ledger(4, 8, 1000)
    assert stop_reason(voted("abab"), rungs, None, now=1.0) is None
    assert rungs.rung == 1
    # Between two rungs nothing is decided.
    assert stop_reason(voted("ababaaa"), rungs, 0.6, now=1.0) is None
    assert stop_reason(voted("ababaaaa"), rungs, 0.8, now=1.0) is StopReason.CONFIDENT
    assert rungs.rung == 1


def test_a_ladder_with_a_known_answer_is_climbed_until_it_is_found() -> None:
    def with_truth(*right: bool) -> Forest:
        grown = forest(method=Method.MAJORITY, candidates=1, guidance=Guidance.GROUND_TRUTH)
        for number, correct in enumerate(right):
            told(grown, chain(answered(f"{number}", str(correct), correct=correct)))
        return grown

    rungs = ledger(2, 4)
    # Two wrong votes agree, which settles nothing while the right answer is looked for.
    assert stop_reason(with_truth(False, False), rungs, 0.5, now=1.0) is None
    assert rungs.rung == 1
    found = with_truth(False, False, False, True)
    assert stop_reason(found, rungs, None, now=1.0) is StopReason.SOLVED
    missed = with_truth(False, False, False, False)
    assert stop_reason(missed, ledger(2, 4), None, now=1.0) is StopReason.ROLLOUTS


def test_the_last_rung_is_the_budget() -> None:
    assert stop_reason(voted("abab"), ledger(2, 4), None, now=1.0) is StopReason.ROLLOUTS
