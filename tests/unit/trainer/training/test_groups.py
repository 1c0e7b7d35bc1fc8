from collections import Counter

from tests.support.training import make_tokenizer, steps_group
from trainer.selection.pairs import PairKind
from trainer.training.data import MemberRow, PairGroup, StepRow
from trainer.training.groups import Collator, encode_groups, targets
from trainer.training.texts import judged
from trainer.training.tokens import add_delimiters

PAD = 0


def group(*texts: str, pairs: tuple[tuple[int, int], ...]) -> PairGroup:
    members = tuple(MemberRow(steps=(StepRow(text=text),), q=0.5) for text in texts)
    return PairGroup(problem="p", question="q", kind=PairKind.STEP, members=members, pairs=pairs)


def encode(*groups: PairGroup, max_tokens: int = 1000) -> tuple[list[object], Counter[str]]:
    tokenizer = make_tokenizer()
    add_delimiters(tokenizer)
    counts: Counter[str] = Counter()
    return encode_groups(groups, tokenizer, max_tokens, counts), counts


def test_members_too_long_leave_with_their_pairs_and_the_rest_is_renumbered() -> None:
    whole = group("a" * 200, "b", "c", "d", pairs=((0, 1), (0, 2), (3, 1), (3, 2)))
    ((example,), counts) = encode(whole, max_tokens=150)
    assert [one.steps[0].text for one in example.group.members] == ["b", "c", "d"]
    assert example.group.pairs == ((2, 0), (2, 1))
    assert len(example.ids) == 3
    assert counts["members_too_long"] == 1


def test_pairs_that_read_the_same_teach_nothing() -> None:
    found, counts = encode(group("a", "a", pairs=((0, 1),)))
    assert found == []
    assert (counts["pairs_alike"], counts["groups_left_out"]) == (1, 1)


def test_a_batch_encodes_each_text_once_and_points_at_it() -> None:
    one = group("a", "b", pairs=((0, 1),))
    two = group("c", "a", "long text", pairs=((0, 1), (0, 2)))
    examples, _ = encode(one, two)
    batch = Collator(PAD)(examples)
    assert batch["input_ids"].shape[0] == 4
    rows = batch["input_ids"][batch["member_row"]]
    masks = batch["attention_mask"][batch["member_row"]]
    tokenizer = make_tokenizer()
    add_delimiters(tokenizer)
    texts = [tokenizer.decode(row[mask == 1]) for row, mask in zip(rows, masks, strict=True)]
    assert texts == judged(one) + judged(two)
    assert batch["member_group"].tolist() == [0, 0, 1, 1, 1]
    assert batch["pairs"].tolist() == [[0, 1], [2, 3], [2, 4]]
    assert batch["pair_group"].tolist() == [0, 1, 1]
    # The Trainer takes the first tensor's length for the number of rows, and counts labels.
    assert next(iter(batch)) == "labels"
    assert batch["labels"].tolist() == [1, 1]


def test_outcomes_of_steps_are_unknown() -> None:
    wanted = targets(
        [steps_group("p", "a", "b"), steps_group("p", "c", "d", kind=PairKind.SOLUTION)]
    )
    assert wanted.correct.isnan().tolist() == [True, True, False, False]
    assert wanted.correct[2:].tolist() == [1, 0]
