"""The trajectory grammar: the one place where solutions become text and text becomes steps.

What the policy is trained on and prompted with, and what the PPM is trained and queried on, is
rendered here and nowhere else. Grammar (rStar-Math, arXiv 2501.04519, section 3.2)::

    <code>
    # Step 1: ...
    python
    <end_of_step>

    # Step 2: ...
    python
    <end_of_step>

    # Now print the final answer
    print(x)
    <end_of_code>
    <output>42<end_of_output>
    <answer>... \\boxed{42}<end_of_answer>

Pure text: no I/O, no tokenizer.
"""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

CODE = "<code>"
END_OF_STEP = "<end_of_step>"
END_OF_CODE = "<end_of_code>"
OUTPUT = "<output>"
END_OF_OUTPUT = "<end_of_output>"
ANSWER = "<answer>"
END_OF_ANSWER = "<end_of_answer>"
DELIMITERS = (CODE, END_OF_STEP, END_OF_CODE, OUTPUT, END_OF_OUTPUT, ANSWER, END_OF_ANSWER)

_STEP_START = re.compile(r"^# Step\b", re.MULTILINE)
_ANY_DELIMITER = re.compile("|".join(map(re.escape, DELIMITERS)))


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a solution.

    Attributes:
        text: a `# Step k: ...` comment and Python code; or, after a step that ended the code, the
            text of the answer. Without delimiters.
        ends_code: whether this step ends the code; its output is then shown to the model.
        output: what the step printed; rendered only where ends_code is true.
    """

    text: str
    ends_code: bool = False
    output: str = ""


def render_problem(problem: str) -> str:
    """The head of the bare prompt: the problem, and the opening of its solution."""
    return (
        f"<|user|>:\n{problem.strip()}\n\n"
        "<|assistant|>: Let's think step by step and solve the problem with code.\n"
    )


def render_solution(steps: Sequence[Step]) -> str:
    """A partial solution up to its last delimiter; the empty string for no steps."""
    parts: list[str] = []
    code_ended = False
    for step in steps:
        if code_ended:
            parts.append(f"\n{ANSWER}{step.text}{END_OF_ANSWER}")
            continue
        parts.append("\n\n" if parts else f"{CODE}\n")
        parts.append(step.text.rstrip("\n"))
        if step.ends_code:
            code_ended = True
            parts.append(f"\n{END_OF_CODE}\n{OUTPUT}{clean(step.output).strip()}{END_OF_OUTPUT}")
        else:
            parts.append(f"\n{END_OF_STEP}")
    return "".join(parts)


def render_prompt(problem: str, steps: Sequence[Step]) -> str:
    """The bare prompt of a fine-tuned policy: everything up to where the next step begins."""
    head = render_problem(problem) + render_solution(steps)
    if not steps:
        return f"{head}{CODE}\n"
    return f"{head}\n{ANSWER}" if steps[-1].ends_code else f"{head}\n\n"


def render_scored(problem: str, steps: Sequence[Step]) -> str:
    """The text that the PPM scores: the problem and the solution up to its last delimiter."""
    return render_problem(problem) + render_solution(steps)


def clean(text: str) -> str:
    """Text without the grammar's delimiters, so that no output can forge the end of a step."""
    # Taking one out may bring the two halves of another together.
    while _ANY_DELIMITER.search(text):
        text = _ANY_DELIMITER.sub("", text)
    return text


def split_steps(text: str) -> list[str]:
    """Cut a program at its `# Step` comments.

    What stands before the first such comment (imports, say) belongs to the first step. Steps come
    without trailing blank lines; a program of white space alone has none.
    """
    starts = [match.start() for match in _STEP_START.finditer(text)]
    cuts = [0, *starts[1:], len(text)] if starts else [0, len(text)]
    pieces = (text[a:b].strip("\n").rstrip() for a, b in itertools.pairwise(cuts))
    return [piece for piece in pieces if piece.strip()]


def split_comment(text: str) -> tuple[str, str]:
    """A step's opening comment, without `#`, and the code below it; either may be empty."""
    lines = text.strip("\n").split("\n")
    head = 0
    while head < len(lines) and lines[head].lstrip().startswith("#"):
        head += 1
    comment = "\n".join(line.strip().lstrip("#").strip() for line in lines[:head])
    return comment, "\n".join(lines[head:]).strip("\n")
