"""What the engine gives without a service or a search: `python -m services.policy.plain_batch`.

Reads candidates from standard input, a JSON object a line: {"problem", "steps": [{"text",
"ends_code", "output"}], "tokens"}. Draws candidates of the same prompts and lengths in one batch
that is always full, going over them again and again, and prints {"tokens_per_second", "tokens",
"seconds"} of the time after the warm-up. Settings are those of the policy (RSTAR_POLICY_*).
"""

import argparse
import asyncio
import itertools
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from services.common import logs
from services.common.inference import engine
from services.common.inference.engine import Engine
from services.common.models.store import ModelStore
from services.common.steps import Step
from services.policy.prompts import Style, style_of
from services.policy.settings import PolicySettings


@dataclass(frozen=True, slots=True)
class Wanted:
    """A candidate to draw again: its prompt, and how many tokens it had."""

    problem: str
    steps: tuple[Step, ...]
    tokens: int


class Meter:
    """Counts tokens from the moment that it is started."""

    def __init__(self) -> None:
        self.started_at: float | None = None
        self.tokens = 0

    def start(self) -> None:
        """Begin to count."""
        self.started_at = time.monotonic()

    def add(self, tokens: int) -> None:
        """Count tokens, if begun."""
        if self.started_at is not None:
            self.tokens += tokens


def parse(lines: Sequence[str]) -> list[Wanted]:
    """The candidates of the input; ValueError where a line is none."""
    wanted = []
    for number, line in enumerate(lines, start=1):
        try:
            fields = json.loads(line)
            steps = tuple(Step(**step) for step in fields["steps"])
            wanted.append(Wanted(fields["problem"], steps, int(fields["tokens"])))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"line {number}: {type(error).__name__}: {error}") from error
    if not wanted:
        raise ValueError("there are no candidates")
    return wanted


def style_for(running: Engine, name: str) -> Style:
    """The prompt style of a model's manifest."""

    def chat(messages: list[dict[str, str]]) -> str:
        text: str = running.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        return text

    return style_of(name, chat)  # type: ignore[arg-type]  # checked when the manifest was read


async def draw(running: Engine, style: Style, wanted: Wanted, seed: int, meter: Meter) -> None:
    """Draw one candidate of exactly the wanted length."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    text = style.prompt(wanted.problem, wanted.steps)
    prompt = await running.tokenize(text, add_special_tokens=style.special_tokens)
    params = SamplingParams(
        temperature=0.8,
        max_tokens=wanted.tokens,
        min_tokens=wanted.tokens,
        ignore_eos=True,
        seed=seed,
        logprobs=0,
        output_kind=RequestOutputKind.DELTA,
    )
    async for output in running.generate(prompt, params):
        meter.add(len(output.outputs[0].token_ids))


async def measure(
    settings: PolicySettings, wanted: Sequence[Wanted], warm_up: float, seconds: float
) -> dict[str, float]:
    """Keep the batch full for a while; tokens a second after the warm-up."""
    stored = await asyncio.to_thread(ModelStore(settings.store).open, "policy", settings.model)
    running = await engine.start(settings, stored.path, runner="generate")
    try:
        style = style_for(running, str(stored.manifest.prompt_style))
        meter, numbers = Meter(), itertools.count()

        async def keep_drawing() -> None:
            for number in numbers:
                await draw(running, style, wanted[number % len(wanted)], number, meter)

        # Some wait at any time, so that no place in the batch is ever free.
        drawing = [
            asyncio.create_task(keep_drawing())
            for _ in range(settings.batch_sequences + settings.batch_sequences // 4)
        ]
        await _while_running(drawing, warm_up)
        meter.start()
        begun = time.monotonic()
        await _while_running(drawing, seconds)
        passed = time.monotonic() - begun
        tokens = meter.tokens
        for task in drawing:
            task.cancel()
        await asyncio.gather(*drawing, return_exceptions=True)
    finally:
        await running.stop()
    return {"tokens_per_second": tokens / passed, "tokens": tokens, "seconds": passed}


async def _while_running(tasks: Sequence[asyncio.Task[None]], seconds: float) -> None:
    """Let tasks run for a while; raise what one of them fails with."""
    done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


def main() -> None:
    """Measure once and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m services.policy.plain_batch")
    parser.add_argument("--warm-up", type=float, default=15.0, help="Seconds that are not counted.")
    parser.add_argument("--seconds", type=float, default=60.0, help="Seconds that are.")
    chosen = parser.parse_args()
    settings = PolicySettings()
    logs.configure("policy", settings.log_level, settings.log_format)
    wanted = parse(sys.stdin.read().splitlines())
    figures = asyncio.run(measure(settings, wanted, chosen.warm_up, chosen.seconds))
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
