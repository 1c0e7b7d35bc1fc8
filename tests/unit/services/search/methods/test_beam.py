"""Beam search: small cases by hand."""

import pytest

from services.search.forest import Forest
from services.search.methods.presets import Method
from services.search.node import Outcome
from services.search.tree import Guidance
from tests.support.search_world import answered, ask, batch, chain, forest, step, told, tree_of


def beam(width: int, *, guidance: Guidance = Guidance.PPM, candidates: int = 3) -> Forest:
    return forest(
        method=Method.BEAM, beam_width=width, guidance=guidance, candidates=candidates, depth=3
    )


def texts(grown: Forest, parallel: int) -> list[str]:
    """The steps that so many trials would expand."""
    steps = [grown.node(trial).step for trial in batch(grown, parallel)]
    return [one.text for one in steps if one is not None]


def scored(**scores: float) -> list[object]:
    return [chain(step(text, ppm_score=score)) for text, score in scores.items()]


def test_the_best_steps_of_a_level_are_expanded_and_the_others_pruned() -> None:
    grown = beam(2)
    told(grown, *scored(a=-0.5, b=0.9, c=0.1))
    assert texts(grown, 8) == ["b", "c"]
    closed = [node.step for node in grown.trees[0].nodes.values() if node.closed]
    assert [one.text for one in closed if one is not None] == ["a"]


def test_the_next_level_waits_for_the_whole_level_and_ranks_it_together() -> None:
    grown = beam(2)
    told(grown, *scored(a=0.2, b=0.1))
    first, second = batch(grown, 8)
    grown.tell(second.id, scored(d=-0.9, e=0.3))
    assert grown.ask() is None, "a trial of this level is in flight"
    grown.tell(first.id, scored(f=0.4, g=0.6))
    assert texts(grown, 8) == ["g", "f"], "both below the same parent"


def test_a_finished_solution_takes_its_place_with_it() -> None:
    grown = beam(2)
    told(grown, *scored(b=0.5, c=0.4), chain(answered("a", "7", ppm_score=0.9)))
    assert texts(grown, 8) == ["b"]
    assert grown.rollouts == 1


def test_a_beam_whose_candidates_all_fail_ends_and_counts_a_rollout() -> None:
    grown = beam(2)
    told(grown, *scored(a=0.5))
    last = told(grown, chain(step("x", Outcome.FAILED)), chain(step("y", Outcome.LIMIT)))
    assert grown.exhausted
    assert grown.rollouts == 1
    assert tree_of(grown).q(grown.node(last)) == pytest.approx((0.5 - 1) / 2)


def test_without_a_ppm_the_likelier_solution_is_kept() -> None:
    grown = beam(1, guidance=Guidance.CONSISTENCY)
    told(
        grown,
        chain(step("a", tokens=10, mean_logprob=-0.5)),
        chain(step("b", tokens=10, mean_logprob=-0.2)),
    )
    assert texts(grown, 1) == ["b"]


def test_a_likelihood_is_the_mean_over_all_tokens_of_the_path() -> None:
    grown = beam(2, guidance=Guidance.CONSISTENCY)
    told(
        grown,
        chain(step("a", tokens=10, mean_logprob=-0.1)),
        chain(step("b", tokens=10, mean_logprob=-0.3)),
    )
    first, second = batch(grown, 2)
    # -0.1 * 10 - 0.9 * 30 over 40 is -0.7; -0.3 * 10 - 0.4 * 10 over 20 is -0.35.
    grown.tell(first.id, [chain(step("c", tokens=30, mean_logprob=-0.9))])
    grown.tell(second.id, [chain(step("d", tokens=10, mean_logprob=-0.4))])
    assert texts(grown, 2) == ["d", "c"]


def test_the_depth_limit_ends_the_beam() -> None:
    grown = beam(1, candidates=1)
    for text in "abc":
        told(grown, *scored(**{text: 0.5}))
    assert grown.exhausted
    assert grown.rollouts == 1


def test_a_level_can_be_expanded_with_what_is_affordable() -> None:
    grown = beam(1, candidates=3)
    trial = ask(grown, max_count=2)
    assert trial.count == 2
    grown.tell(trial.id, scored(a=0.1, b=0.2))
    assert texts(grown, 1) == ["b"]
