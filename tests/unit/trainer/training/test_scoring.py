"""Texts that others begin with are computed with them."""

from pathlib import Path

import pytest

from tests.support.training import make_base
from trainer.training import models, scoring
from trainer.training.scoring import Passage, passages

PAD = 0


def test_beginnings_are_read_on_the_way() -> None:
    texts = [(1, 2), (1, 2, 3, 4), (1, 2, 5), (7,), (1,), (1, 2), (1, 2, 3, 4)]
    assert passages(texts) == [
        Passage((7,), (1,)),
        Passage((1, 2, 5), (3,)),
        Passage((1, 2, 3, 4), (4, 2, 1)),
    ]


def test_every_text_is_read_once() -> None:
    texts = [tuple(map(int, f"{number:b}")) for number in range(1, 64)]
    read = [one.ids[:end] for one in passages(texts) for end in one.ends]
    assert sorted(read) == sorted(texts)


@pytest.mark.parametrize("kind", ["features", "logits"])
def test_what_is_read_on_the_way_is_what_the_text_alone_gives(tmp_path: Path, kind: str) -> None:
    import torch
    from accelerate import PartialState

    base = make_base(tmp_path / "base")
    tokenizer, new = models.load_tokenizer(base)
    model = models.load_model(base, "score", tokenizer, new)
    texts = [(5, 6), (5, 6, 7, 8, 9), (5, 6, 7), (9, 8), (5, 6)]
    forward = getattr(scoring, kind)(model)
    state = PartialState(cpu=True)
    together = scoring.compute(forward, model, texts, PAD, 2, state)
    alone = [
        forward({"input_ids": torch.tensor([ids]), "attention_mask": None}, [(len(ids),)])[0]
        for ids in texts
    ]
    assert torch.allclose(together, torch.stack(alone), atol=1e-5)
    if kind == "logits":
        whole = model(input_ids=torch.tensor([texts[1]]), use_cache=False).logits
        assert torch.allclose(together[1], whole[0].float(), atol=1e-5)
