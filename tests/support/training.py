"""Small models, tokenizers and rows for tests of the trainers."""

import json
from pathlib import Path
from typing import Any

from trainer.training.data import MemberRow, PairGroup, PairKind, SolutionRow, StepRow

END = "<|end|>"
PAD = "<|pad|>"
BEGIN = "<|begin|>"


def make_tokenizer(*, begins: bool = False) -> Any:
    """A fast byte-level tokenizer without merges; `begins`: it puts a first token of its own."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {text: place for place, text in enumerate([PAD, BEGIN, END, *letters])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if begins:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{BEGIN} $A", special_tokens=[(BEGIN, vocabulary[BEGIN])]
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
) -> Path:
    """A random language model of about 100,000 parameters as a plain Hugging Face folder."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = make_tokenizer(begins=begins)
    torch.manual_seed(seed)
    config = AutoConfig.for_model(
        family,
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=tied,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
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


def write_settings(path: Path, **fields: object) -> Path:
    """A configuration file."""
    path.write_text(json.dumps(fields, default=str), encoding="utf-8")
    return path
