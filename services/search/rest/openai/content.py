"""A solution as the text of a completion; pure."""

from typing import Literal

from services.search.rest.openai.documents import ChatUsage, SearchResult
from services.search.schemas import Solution, Step

_NOTHING = "No solution was finished within the budget."


def parts(solution: Solution) -> list[str]:
    """The text step by step, then the answer in a box, as graders of mathematics look for it."""
    if solution.answer is None:
        return [_NOTHING]
    # No full stop: harnesses that look for the last number would take it for a part of one.
    boxed = f"The answer is $\\boxed{{{solution.answer}}}$"
    return [f"{_step(step)}\n\n" for step in solution.steps] + [boxed]


def _step(step: Step) -> str:
    blocks = [step.text.strip()]
    if step.code.strip():
        blocks.append(_fenced("python", step.code))
    if step.output.strip():
        blocks.append(_fenced("output", step.output))
    return "\n\n".join(block for block in blocks if block)


def _fenced(kind: str, text: str) -> str:
    fence = "```"
    # A fence within the text must not end it.
    while fence in text:
        fence += "`"
    return f"{fence}{kind}\n{text.strip(chr(10))}\n{fence}"


def finish_reason(solution: Solution) -> Literal["stop", "length"]:
    """Whether there is a solution, or the budget was too small for one."""
    return "length" if solution.answer is None else "stop"


def usage(solution: Solution) -> ChatUsage:
    """What the search has spent, in tokens."""
    tokens = solution.usage.policy_tokens
    return ChatUsage(completion_tokens=tokens, total_tokens=tokens)


def result(solution: Solution) -> SearchResult:
    """What the text does not say of the search."""
    return SearchResult(
        search_id=solution.search_id,
        answer=solution.answer,
        confidence=solution.confidence,
        alternatives=solution.alternatives,
        stop_reason=solution.stop_reason,
        usage=solution.usage,
    )
