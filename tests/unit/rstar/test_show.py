"""What a terminal is shown."""

import io

from rich.console import Console

from rstar.client import Progress, Solution, Step, Usage
from rstar.show import printable, progress_line, show_solution

USAGE = Usage(rollouts=3, nodes=7, policy_tokens=1500, ppm_calls=0, sandbox_runs=6, seconds=2.4)


def shown(solution: Solution, verdict: str = "") -> str:
    console = Console(file=io.StringIO(), width=200, highlight=False)
    show_solution(console, solution, verdict)
    text = console.file.getvalue()  # type: ignore[attr-defined]  # the StringIO above
    assert isinstance(text, str)
    return text


def solution(**changes: object) -> Solution:
    fields: dict[str, object] = {
        "search_id": "s",
        "answer": "1",
        "confidence": 1.0,
        "steps": [],
        "alternatives": [],
        "stop_reason": "tokens",
        "usage": USAGE,
        "models": {"policy": "tiny", "ppm": None},
    }
    return Solution.model_validate(fields | changes)


def test_a_model_cannot_steer_the_terminal() -> None:
    assert printable("a\x1b[2Jb\r\nc\td\x07") == "a\ufffd[2Jb\nc\td\ufffd"
    step = Step(text="\x1b]0;x\x07", code="\x1b[31m", output="[bold]\x9b1m", q=0, visits=1)
    text = shown(solution(steps=[step], answer="\x1b[H"))
    assert "\x1b" not in text
    assert "\x9b" not in text
    assert "[bold]" in text


def test_no_answer_is_said_to_be_none() -> None:
    assert "none: no solution was finished" in shown(solution(answer=None))


def test_a_guided_search_names_its_ppm() -> None:
    guided = solution(guided=True, models={"policy": "tiny", "ppm": "judge-1"})
    assert "guided by judge-1" in shown(guided)


def test_the_progress_line_is_one_line() -> None:
    progress = Progress(search_id="s", answer="1\n2", confidence=0.5, usage=USAGE)
    assert progress_line(progress) == "2 s, 3 rollouts, 7 nodes, 1,500 tokens, best: 1 2 (50%)"
    early = Progress(search_id="s", answer=None, confidence=0.0, usage=USAGE)
    assert progress_line(early).endswith("best: no answer yet")
