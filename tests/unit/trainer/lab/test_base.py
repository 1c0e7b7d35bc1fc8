from collections import Counter
from pathlib import Path

from safetensors.torch import load_file
from torch import arange
from transformers import AutoTokenizer

from services.common.models.store import ModelStore
from trainer.lab import tokenizer as words
from trainer.lab.base import VERSION, idle_row, shipped_base
from trainer.lab.language import read
from trainer.lab.model import Shape, create
from trainer.lab.problems import generate, is_new
from trainer.lab.program import understand
from trainer.training.texts import lesson
from trainer.training.tokens import encode_lesson

PROBLEMS = list(generate(240, "train", 5, (1, 2, 3)))
ROWS = [idle_row(one, 7) for one in PROBLEMS]


def codes(texts: list[str]) -> list[tuple[str, str, str, str]]:
    """Name, left operand, sign and right operand of each assignment."""
    lines = [text.split("\n")[1].replace(" = ", " ").split(" ") for text in texts]
    return [(a, b, c, d) for a, b, c, d in (line for line in lines if len(line) == 4)]


def test_an_idle_solution_has_the_form_of_a_right_one_and_no_sense() -> None:
    signs: Counter[bool] = Counter()
    for row in ROWS:
        right = understand(read(row.question)).steps()
        written = [step.text for step in row.steps[:-1]]
        assert len(written) == len(right)
        assert written[-1] == right[-1]
        for one, wanted in zip(codes(written), codes(right), strict=True):
            assert (one[0], one[1], one[3]) == (wanted[0], wanted[1], wanted[3])
            signs[one[2] == wanted[2]] += 1
    # One in four is right by chance; four standard deviations.
    count = signs.total()
    assert abs(signs[True] / count - 0.25) < 4 * (0.25 * 0.75 / count) ** 0.5


def test_its_numbers_are_of_every_length_and_none_is_kept_for_evaluation() -> None:
    stories = [read(row.question) for row in ROWS]
    firsts = [next(s for s in told if s.wording.kind != "noise") for told in stories]
    assert not any(is_new(told) for told in stories)
    assert {len(str(one.n)) for one in firsts} == {1, 2}


def test_it_can_be_trained_on() -> None:
    tokenizer = words.make()
    for row in ROWS:
        encoded = encode_lesson(tokenizer, lesson(row))
        assert tokenizer.unk_token_id not in encoded.ids
        assert len(encoded.ids) <= words.CONTEXT_TOKENS


def test_every_token_can_be_told_from_all_others(tmp_path: Path) -> None:
    """Head and embedding are one: rows that are too short bound the logits of what is copied."""
    shape = Shape(hidden=64, layers=1, heads=2, inner=64)
    assert create(tmp_path, shape, seed=1) < 300_000
    rows = load_file(tmp_path / "model.safetensors")["model.embed_tokens.weight"]
    lengths = rows.norm(dim=1)
    assert rows.shape == (len(words.vocabulary()), shape.hidden)
    assert 0.95 < lengths.mean() < 1.05
    # The best logit of a token is at least its own row's square times the root of `hidden`.
    best = rows @ rows.T
    assert (best.argmax(dim=1) == arange(len(rows))).float().mean() > 0.99


def test_the_base_that_ships_is_of_this_tokenizer_and_shape(tmp_path: Path) -> None:
    base = shipped_base(ModelStore(tmp_path / "store"))
    assert base.manifest.version == VERSION
    assert AutoTokenizer.from_pretrained(base.path).get_vocab() == words.make().get_vocab()
    create(tmp_path / "new", Shape(), seed=1)
    new, ships = (load_file(one / "model.safetensors") for one in (tmp_path / "new", base.path))
    assert {name: one.shape for name, one in new.items()} == {
        name: one.shape for name, one in ships.items()
    }
    assert shipped_base(ModelStore(tmp_path / "store")) == base
