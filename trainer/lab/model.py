"""The laboratory's language model: a small Llama from scratch, and its pretraining.

The base model is fluent, not able: it is pretrained on solutions of a mixed quality, as the web is.
What it learns beyond that, it learns by the rounds.
"""

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from services.common.models.store import ModelStore, StoredModel
from services.common.steps import Step, render_problem, render_solution
from trainer.lab import tokenizer as words
from trainer.lab.problems import LEVELS, LabProblem, generate
from trainer.lab.scripted import ErrorRates, solve

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

LICENCE: Final = "Apache-2.0"
MIXED: Final = ErrorRates(first=0.3, each=0.03)
_IGNORED: Final = -100


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of the model.

    Attributes:
        hidden, layers, heads: of the transformer; hidden / heads must be a head size of vLLM.
    """

    hidden: int = 192
    layers: int = 4
    heads: int = 3


@dataclass(frozen=True, slots=True)
class Pretraining:
    """How the base model is made.

    Attributes:
        problems: generated for it, with a seed that no other data of the laboratory has.
        epochs: passes over them.
        batch: examples a step.
        learning_rate: highest, after a warm-up; it falls by a cosine.
        rates: how often a step of a solution is wrong.
        seed: of everything.
    """

    problems: int = 6_000
    epochs: int = 3
    batch: int = 64
    learning_rate: float = 2e-3
    rates: ErrorRates = MIXED
    seed: int = 7_001


@dataclass(frozen=True, slots=True)
class Trained:
    """What pretraining took and came to: tokens seen, seconds, mean loss of the last steps."""

    tokens: int
    seconds: float
    loss: float


def create(shape: Shape, seed: int) -> "tuple[LlamaForCausalLM, PreTrainedTokenizerFast]":
    """A model of random weights, and its tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = words.make()
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden,
        intermediate_size=4 * shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        max_position_embeddings=words.CONTEXT_TOKENS,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    return LlamaForCausalLM(config), tokenizer


def example(problem: LabProblem, rates: ErrorRates, seed: int) -> str:
    """A problem and a solution of it in full, mistakes and all, in the trajectory grammar."""
    written = solve(problem.question, 0, 0, seed, 1.0, rates)
    output = _run([one.text for one in written])
    steps = [Step(one.text) for one in written[:-1]]
    steps += [Step(written[-1].text, ends_code=True, output=output), Step(f"\\boxed{{{output}}}")]
    return render_problem(problem.question) + render_solution(steps)


def _run(texts: Sequence[str]) -> str:
    """What the solver's own steps print; they are assignments of whole numbers and one print."""
    values: dict[str, int] = {}
    for text in texts[:-1]:
        name, _, expression = text.split("\n")[1].partition(" = ")
        left, sign, right = expression.split(" ")
        a, b = (values[one] if one in values else int(one) for one in (left, right))
        values[name] = _apply(a, sign, b)
    printed = texts[-1].rpartition("print(")[2].rstrip(")")
    return str(values[printed])


def _apply(a: int, sign: str, b: int) -> int:
    if sign == "//":
        return a // b if b else 0
    return {"+": a + b, "-": a - b, "*": a * b}[sign]


def pretrain(
    model: "LlamaForCausalLM", tokenizer: "PreTrainedTokenizerFast", how: Pretraining
) -> Trained:
    """Train on generated problems with solutions of mixed quality; the loss is on the solutions."""
    import torch

    problems = list(generate(how.problems, "train", how.seed, LEVELS))
    texts = [example(one, how.rates, how.seed + i) for i, one in enumerate(problems)]
    order = random.Random(how.seed)  # noqa: S311 - no secret
    steps = how.epochs * (len(texts) // how.batch)
    optimizer = torch.optim.AdamW(model.parameters(), how.learning_rate, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, how.learning_rate, total_steps=steps, pct_start=0.1
    )
    model.train()
    begun, tokens, losses = time.monotonic(), 0, []
    for batch in _batches(texts, how, order):
        inputs, labels = _tensors(batch, tokenizer)
        loss = model(**inputs, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        tokens += int(inputs["attention_mask"].sum())
        losses.append(float(loss.detach()))
    last = losses[-max(1, len(losses) // 20) :]
    return Trained(tokens, time.monotonic() - begun, sum(last) / len(last))


def _batches(texts: Sequence[str], how: Pretraining, rng: random.Random) -> Iterator[list[str]]:
    for _ in range(how.epochs):
        # Alike in length within a batch, so that little is padding; batches in a random order.
        ordered = sorted(rng.sample(list(texts), len(texts)), key=len)
        starts = list(range(0, len(ordered) - how.batch + 1, how.batch))
        rng.shuffle(starts)
        for start in starts:
            yield ordered[start : start + how.batch]


def _tensors(batch: Sequence[str], tokenizer: "PreTrainedTokenizerFast") -> tuple[Any, Any]:
    inputs = tokenizer(
        [text + words.END for text in batch],
        return_tensors="pt",
        padding=True,
        padding_side="right",
        return_token_type_ids=False,
    )
    labels = inputs["input_ids"].clone()
    labels[inputs["attention_mask"] == 0] = _IGNORED
    opening = tokenizer.convert_tokens_to_ids("<code>\n")
    for row in range(labels.shape[0]):
        end = int((inputs["input_ids"][row] == opening).nonzero()[0])
        labels[row, : end + 1] = _IGNORED
    return inputs, labels


def publish(
    model: "LlamaForCausalLM",
    tokenizer: "PreTrainedTokenizerFast",
    store: ModelStore,
    version: str,
    scratch: Path,
) -> StoredModel:
    """Put a model into the store as a policy; `scratch` is an empty folder for files on the way."""
    model.save_pretrained(scratch)
    tokenizer.save_pretrained(scratch)
    return store.publish(
        "policy", version, scratch, licence=LICENCE, prompt_style="bare", round=0, move=True
    )
