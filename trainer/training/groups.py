"""Groups of pairs as token sequences, and batches of them as tensors."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trainer.training.data import PairGroup
from trainer.training.texts import judged
from trainer.training.tokens import encode_judged


@dataclass(frozen=True, slots=True)
class Example:
    """A group and the tokens of its members.

    Attributes:
        group: without members that no pair names.
        ids: token ids of each member's text.
    """

    group: PairGroup
    ids: tuple[tuple[int, ...], ...]


def encode_groups(
    groups: Sequence[PairGroup], tokenizer: Any, max_tokens: int, counts: Counter[str]
) -> list[Example]:
    """The groups in tokens, without what cannot be learnt from.

    A member longer than `max_tokens` is left out, not cut: what would be cut off is the step that
    is judged. Pairs of two members that read the same are left out. `counts` gets how many.
    """
    found = (_encode(group, tokenizer, max_tokens, counts) for group in groups)
    return [one for one in found if one is not None]


def _encode(
    group: PairGroup, tokenizer: Any, max_tokens: int, counts: Counter[str]
) -> Example | None:
    ids = [tuple(encode_judged(tokenizer, text)) for text in judged(group)]
    fitting = {place for place, one in enumerate(ids) if len(one) <= max_tokens}
    counts["members_too_long"] += len(ids) - len(fitting)
    fits = [pair for pair in group.pairs if fitting.issuperset(pair)]
    pairs = [(better, worse) for better, worse in fits if ids[better] != ids[worse]]
    counts["pairs_alike"] += len(fits) - len(pairs)
    if not pairs:
        counts["groups_left_out"] += 1
        return None
    kept = sorted({place for pair in pairs for place in pair})
    places = {old: new for new, old in enumerate(kept)}
    slimmer = group.model_copy(
        update={
            "members": tuple(group.members[place] for place in kept),
            "pairs": tuple((places[better], places[worse]) for better, worse in pairs),
        }
    )
    return Example(slimmer, tuple(ids[place] for place in kept))


@dataclass(frozen=True, slots=True)
class Targets:
    """What the members of some groups should be scored; G groups, M members, P pairs.

    Attributes:
        groups: G.
        member_group: M, int64: the group of each member.
        pair_group: P, int64: the group of each pair.
        pairs: P by 2, int64: the preferred and the rejected member.
        q: M, float32: Q-values, -1 to 1.
        correct: M, float32: 1 right, 0 wrong, nan unknown.
    """

    groups: int
    member_group: Any
    pair_group: Any
    pairs: Any
    q: Any
    correct: Any


def targets(groups: Sequence[PairGroup]) -> Targets:
    """The targets of groups, their members in order."""
    import torch

    starts = [0]
    for group in groups:
        starts.append(starts[-1] + len(group.members))
    members = [(place, one) for place, group in enumerate(groups) for one in group.members]
    pairs = [
        (place, starts[place] + better, starts[place] + worse)
        for place, group in enumerate(groups)
        for better, worse in group.pairs
    ]
    verdicts = [float("nan") if m.correct is None else float(m.correct) for _, m in members]
    table = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 3)
    return Targets(
        groups=len(groups),
        member_group=torch.tensor([place for place, _ in members], dtype=torch.int64),
        pair_group=table[:, 0],
        pairs=table[:, 1:],
        q=torch.tensor([m.q for _, m in members], dtype=torch.float32),
        correct=torch.tensor(verdicts, dtype=torch.float32),
    )


class Collator:
    """Makes the tensors of a batch; a text that several members share is encoded once."""

    def __init__(self, pad: int) -> None:
        self._pad = pad

    def __call__(self, examples: Sequence[Example]) -> dict[str, Any]:
        """A batch.

        Returns:
            `labels`, a 1 for each group, by which the trainer counts them; `input_ids` and
            `attention_mask`, U by L; `member_row`, M, the text of each member; and the fields of
            Targets.
        """
        import torch

        wanted = targets([one.group for one in examples])
        rows: dict[tuple[int, ...], int] = {}
        member_row = [rows.setdefault(ids, len(rows)) for one in examples for ids in one.ids]
        return {
            "labels": torch.ones(wanted.groups, dtype=torch.int64),
            **padded(list(rows), self._pad),
            "member_row": torch.tensor(member_row, dtype=torch.int64),
            "member_group": wanted.member_group,
            "pair_group": wanted.pair_group,
            "pairs": wanted.pairs,
            "q": wanted.q,
            "correct": wanted.correct,
        }


def padded(rows: Sequence[Sequence[int]], pad: int) -> dict[str, Any]:
    """Sequences of ids as `input_ids` and `attention_mask`, filled up on the right."""
    import torch

    length = max(map(len, rows))
    ids = [[*row, *[pad] * (length - len(row))] for row in rows]
    mask = [[1] * len(row) + [0] * (length - len(row)) for row in rows]
    return {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}


def targets_of(batch: dict[str, Any]) -> Targets:
    """The targets in a batch of the collator."""
    return Targets(
        groups=len(batch["labels"]),
        member_group=batch["member_group"],
        pair_group=batch["pair_group"],
        pairs=batch["pairs"],
        q=batch["q"],
        correct=batch["correct"],
    )
