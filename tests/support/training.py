"""Small models, tokenizers and rows for tests of the trainers."""

import json
import random
from pathlib import Path
from typing import Any

from services.common.steps import render_scored
from trainer.training.data import MemberRow, PairGroup, PairKind, SolutionRow, StepRow

END = "<|end|>"
PAD = "<|pad|>"
BEGIN = "<|begin|>"


def make_tokenizer(*, begins: bool = False) -> Any:
    """A fast byte-level tokenizer that knows the grammar's words; `begins`: it puts BEGIN first."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    learner = trainers.BpeTrainer(
        vocab_size=500,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[PAD, BEGIN, END],
        show_progress=False,
    )
    texts = (row.question + render_scored("", [one.step for one in row.steps]) for row in sums(9))
    tokenizer.train_from_iterator(texts, learner)
    if begins:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{BEGIN} $A", special_tokens=[(BEGIN, tokenizer.token_to_id(BEGIN))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, pad_token=PAD, bos_token=BEGIN
    )


def make_base(
    folder: Path,
    *,
    family: str = "llama",
    layers: int = 2,
    tied: bool = True,
    begins: bool = False,
    seed: int = 0,
    padding: int = 0,
    dtype: str = "float32",
) -> Path:
    """A random language model of about 100,000 parameters as a plain Hugging Face folder.

    `padding` rows of its vocabulary have no token.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = make_tokenizer(begins=begins)
    torch.manual_seed(seed)
    config = AutoConfig.for_model(
        family,
        vocab_size=len(tokenizer) + padding,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=512,
        tie_word_embeddings=tied,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = AutoModelForCausalLM.from_config(config)
    model.to(getattr(torch, dtype)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def solution(problem: str, question: str, code: str, answer: str) -> SolutionRow:
    """A solution of one step."""
    return SolutionRow(
        problem=problem,
        question=question,
        steps=(
            StepRow(text=f"# Step 1: {code}", ends_code=True, output=f"{answer}\n"),
            StepRow(text=f"\\boxed{{{answer}}}"),
        ),
    )


def steps_group(problem: str, good: str, bad: str, *, kind: PairKind = PairKind.STEP) -> PairGroup:
    """A group of one pair, of first steps or of whole solutions."""
    whole = kind is PairKind.SOLUTION
    return PairGroup(
        problem=problem,
        question=f"Question {problem}",
        kind=kind,
        members=(
            MemberRow(steps=(StepRow(text=good),), q=0.8, correct=True if whole else None),
            MemberRow(steps=(StepRow(text=bad),), q=-0.8, correct=False if whole else None),
        ),
        pairs=((0, 1),),
    )


def sums(count: int, seed: int = 0) -> list[SolutionRow]:
    """Solutions of small sums, a problem each."""
    rng = random.Random(seed)
    drawn = [(rng.randint(0, 9), rng.randint(0, 9)) for _ in range(count)]
    return [
        solution(f"p{place}", f"{a} + {b}?", f"print({a} + {b})", str(a + b))
        for place, (a, b) in enumerate(drawn)
    ]


def sum_groups(count: int, seed: int = 0) -> list[PairGroup]:
    """First steps and whole solutions of sums, told apart by adding and subtracting."""
    rng = random.Random(seed)
    groups = []
    for place in range(count):
        a, b = rng.randint(10, 99), rng.randint(10, 99)
        for kind in PairKind:
            name = f"{kind}_x"
            texts = (f"# Step 1: {name} = {a} {sign} {b}" for sign in "+-")
            groups.append(steps_group(f"p{place}", *texts, kind=kind))
    return groups


def losses(output: Path) -> list[float]:
    """The training losses of a run, step by step."""
    curves = json.loads((output / "curves.json").read_text("utf-8"))
    return [one["loss"] for one in curves if "loss" in one]
