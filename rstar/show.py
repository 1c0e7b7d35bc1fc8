"""A solution on the terminal."""

import re
from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from rstar.client import Progress, Solution, Step

STOPPED = {
    "rollouts": "the budget of rollouts is spent",
    "tokens": "the budget of tokens is spent",
    "seconds": "the budget of time is spent",
    "confident": "nothing that is left would change the answer",
    "solved": "the known answer was found",
    "exhausted": "nothing is left to explore",
    "cancelled": "it was cancelled",
}
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """Text of a model without the characters that could steer a terminal."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))


def progress_line(progress: Progress) -> str:
    """How far a search is, in one line."""
    usage = progress.usage
    best = "no answer yet"
    if progress.answer is not None:
        shown = printable(progress.answer).replace("\n", " ")[:40]
        best = f"{shown} ({progress.confidence:.0%})"
    return (
        f"{usage.seconds:.0f} s, {usage.rollouts} rollouts, {usage.nodes} nodes, "
        f"{usage.policy_tokens:,} tokens, best: {best}"
    )


def show_solution(console: Console, solution: Solution, verdict: str) -> None:
    """Print the steps with code and output, the answer, and what it took.

    Args:
        console: where to.
        solution: what the search found.
        verdict: what is known of the answer's being right; may be empty.
    """
    for number, step in enumerate(solution.steps, 1):
        _show_step(console, number, step)
    _show_answer(console, solution, verdict)
    usage = solution.usage
    guide = f"guided by {solution.models.ppm}" if solution.guided else "unguided"
    _fact(console, "stopped", STOPPED.get(solution.stop_reason, solution.stop_reason))
    _fact(
        console,
        "spent",
        f"{usage.rollouts} rollouts, {usage.nodes} nodes, {usage.policy_tokens:,} tokens, "
        f"{usage.sandbox_runs} sandbox runs, {usage.seconds:.1f} s",
    )
    _fact(console, "search", f"{solution.search_id}, {solution.models.policy}, {guide}")


def _show_step(console: Console, number: int, step: Step) -> None:
    title = printable(step.text).strip()
    label = "" if title.lower().startswith("step") else f"Step {number}: "
    judged = f"  [q {step.q:+.2f}, visits {step.visits}]"
    console.print(Text.assemble("  ", (label + title, "bold"), (judged, "dim")), soft_wrap=True)
    for line in printable(step.code).splitlines():
        console.print(Text(f"      {line}", "cyan"), soft_wrap=True)
    for line in printable(step.output).splitlines():
        console.print(Text(f"    > {line}", "green"), soft_wrap=True)


def _show_answer(console: Console, solution: Solution, verdict: str) -> None:
    if solution.answer is None:
        _fact(console, "answer", "none: no solution was finished within the budget")
        return
    others = ", ".join(_alternatives(solution))
    _fact(
        console,
        "answer",
        f"{printable(solution.answer)}  ({solution.confidence:.0%} of the weight"
        + (f"; then {others}" if others else "")
        + ")"
        + (f"  {verdict}" if verdict else ""),
        "bold",
    )


def _alternatives(solution: Solution) -> Iterator[str]:
    others = [each for each in solution.alternatives if each.answer != solution.answer]
    for each in others[:3]:
        yield f"{printable(each.answer)} {each.weight:.0%}"


def _fact(console: Console, name: str, text: str, style: str = "") -> None:
    console.print(Text.assemble(f"  {name:<8}", (text, style)), soft_wrap=True)
