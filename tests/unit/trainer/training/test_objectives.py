"""Losses against numbers worked out by hand."""

import math

import pytest
import torch

from tests.support.training import steps_group
from trainer.selection.pairs import PairKind
from trainer.training.data import MemberRow, PairGroup, StepRow
from trainer.training.groups import targets
from trainer.training.objectives import Outcome, Pairs, QValue, objective_of
from trainer.training.settings import PpmSettings


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x))


def two_by_two() -> PairGroup:
    members = tuple(
        MemberRow(steps=(StepRow(text=str(place)),), q=q, correct=q > 0)
        for place, q in enumerate([1.0, 0.5, -0.5, -1.0])
    )
    return PairGroup(
        problem="p",
        question="q",
        kind=PairKind.SOLUTION,
        members=members,
        pairs=((0, 2), (0, 3), (1, 2), (1, 3)),
    )


def test_pairs_are_equation_4() -> None:
    """-1/(2x2) of the sum of log sigmoid(r+ - r-), a group at a time."""
    wanted = targets([two_by_two(), steps_group("p", "good", "bad")])
    logits = torch.tensor([2.0, 1.0, 0.5, -1.0, 0.0, 3.0])
    gaps = [2 - 0.5, 2 + 1, 1 - 0.5, 1 + 1]
    first = -sum(map(log_sigmoid, gaps)) / 4
    assert Pairs().losses(logits, wanted).tolist() == pytest.approx([first, -log_sigmoid(-3.0)])


def test_a_ranking_is_blind_to_a_shift_and_centering_sees_it() -> None:
    wanted = targets([steps_group("p", "good", "bad")])
    logits = torch.tensor([1.0, -1.0])
    near, far = (Pairs().losses(logits + shift, wanted) for shift in (0, 10))
    assert near.item() == pytest.approx(far.item())
    near, far = (Pairs(0.01).losses(logits + shift, wanted) for shift in (0, 10))
    assert far.item() - near.item() == pytest.approx(0.01 * 10**2)


def test_doubt_mixes_in_the_opposite() -> None:
    wanted = targets([steps_group("p", "good", "bad", kind=PairKind.SOLUTION)])
    logits = torch.tensor([3.0, 1.0])
    mixed = -0.9 * log_sigmoid(2) - 0.1 * log_sigmoid(-2)
    assert Pairs().losses(logits, wanted, 0.1).item() == pytest.approx(mixed)
    right = -0.9 * log_sigmoid(3) - 0.1 * log_sigmoid(-3)
    wrong = -0.9 * log_sigmoid(-1) - 0.1 * log_sigmoid(1)
    assert Outcome().losses(logits, wanted, 0.1).item() == pytest.approx((right + wrong) / 2)


def test_outcomes_are_learnt_from_whole_solutions_alone() -> None:
    steps, whole = steps_group("p", "good", "bad"), two_by_two()
    assert [Outcome().usable(one) for one in (steps, whole)] == [False, True]
    losses = Outcome().losses(torch.tensor([9.0, 9, 2, 1, -1, 3]), targets([steps, whole]))
    each = [log_sigmoid(2), log_sigmoid(1), log_sigmoid(1), log_sigmoid(-3)]
    assert losses.tolist() == pytest.approx([0, -sum(each) / 4])


def test_a_q_value_is_what_tanh_of_half_the_logit_estimates() -> None:
    wanted = targets([two_by_two()])
    logits = (2 * torch.atanh(torch.tensor([0.999, 0.5, -0.5, -0.999]))).requires_grad_()
    QValue().losses(logits, wanted).sum().backward()
    assert logits.grad.abs().max().item() < 1e-3
    assert QValue().losses(logits + 1, wanted).item() > QValue().losses(logits, wanted).item()


def test_settings_name_the_objective() -> None:
    def of(name: str) -> object:
        return objective_of(
            PpmSettings(data=("d.jsonl",), base="b", output="o", objective=name, centering=0.5)
        )

    assert of("pairs") == Pairs(0.5)
    assert of("outcome") == Outcome()
    assert of("q_value") == QValue()
