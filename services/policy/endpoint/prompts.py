"""How a partial solution is put to a model behind an API.

A chat server need not continue an open message of the assistant's, so the program so far stands in
the user's turn, with the request to go on. Where raw text is taken, the prompt ends within the open
block, as with a model of our own.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Final, Literal

from services.common.steps import Step
from services.policy.prompts import FewShotChat, block, marker, next_number, worked_examples

Api = Literal["chat", "completions"]

_SAMPLES: Final = ((), (Step("# Step 1: Add them\nx = 1 + 1"),))


def _transcript(messages: list[dict[str, str]]) -> str:
    """A chat as plain text, up to where the last solution opens."""
    heads = {"user": "Problem: ", "assistant": "Solution:\n"}
    turns = [heads.get(turn["role"], "") + turn["content"] for turn in messages]
    return "\n\n".join([*turns, heads["assistant"]])


RAW: Final = FewShotChat(_transcript)


def chat(problem: str, steps: Sequence[Step]) -> list[dict[str, str]]:
    """The messages that ask for a solution, or for the rest of one."""
    asked = problem.strip()
    if steps:
        program = "\n".join(step.text.strip("\n") for step in steps)
        asked = (
            f"{asked}\n\nThe program begins like this:\n{block(program)}\n"
            f"Continue it with `{marker(steps)}`. Write only the steps that follow, without "
            "repeating those above, in one Python block."
        )
    return [*worked_examples(), {"role": "user", "content": asked}]


def prompt(api: Api, problem: str, steps: Sequence[Step]) -> dict[str, Any]:
    """The request's field that holds the prompt."""
    if api == "chat":
        return {"messages": chat(problem, steps)}
    return {"prompt": RAW.prompt(problem, steps)}


def stops(api: Api, steps: Sequence[Step], max_steps: int) -> list[str]:
    """Texts at which the server is to stop; in a chat, whose reply opens a block, no fence is."""
    if api == "completions":
        return RAW.stops(steps, max_steps)
    # By its number, since the reply opens with a marker, and may repeat those of earlier steps.
    return [f"\n# Step {next_number(steps) + max_steps}:"] if max_steps else []


def version(api: Api) -> str:
    """Name and hash of how problems are put; it changes when prompts do."""
    shown = json.dumps([prompt(api, "What is 1 + 1?", steps) for steps in _SAMPLES])
    return f"endpoint_{api}-{hashlib.sha256(shown.encode()).hexdigest()[:8]}"
