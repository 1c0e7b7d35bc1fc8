"""Rows as text: what the policy learns to write and what the PPM learns to judge.

Everything is rendered by services.common.steps, as the services render it, so that training and
serving cannot drift apart. Pure text.
"""

from dataclasses import dataclass

from services.common.steps import END_OF_ANSWER, END_OF_CODE, render_prompt, render_scored
from trainer.training.data import PairGroup, SolutionRow
from trainer.training.files import BadData


@dataclass(frozen=True, slots=True)
class Lesson:
    """The text of a solution, and the parts of it that the policy writes.

    The rest is what the policy is given: the problem, the opening of the code, what the code
    printed and the opening of the answer.

    Attributes:
        text: problem and solution.
        written: from and to, in characters of the text, in order.
    """

    text: str
    written: tuple[tuple[int, int], ...]

    @property
    def prompts(self) -> tuple[str, ...]:
        """What the policy was given before each part: the prompts that serving sends."""
        return tuple(self.text[:start] for start, _ in self.written)


def lesson(row: SolutionRow) -> Lesson:
    """A solution as the policy learns it.

    Raises:
        BadData: the solution does not end its code, or has no written answer after it.
    """
    steps = [one.step for one in row.steps]
    ends = [place for place, step in enumerate(steps) if step.ends_code]
    if ends != [len(steps) - 2]:
        raise BadData(f"problem {row.problem!r}: a solution is code that ends, and then one answer")
    code, answer = steps[:-1], steps[-1]
    head = render_prompt(row.question, [])
    middle = render_prompt(row.question, code)
    text = render_scored(row.question, steps)
    # What the code printed cannot hold the delimiter: the grammar takes it out.
    code_end = middle.rindex(END_OF_CODE) + len(END_OF_CODE)
    whole = len(middle) + len(answer.text) + len(END_OF_ANSWER)
    if whole != len(text):
        raise BadData(f"problem {row.problem!r}: its answer does not end the text")
    return Lesson(text, ((len(head), code_end), (len(middle), whole)))


def judged(group: PairGroup) -> list[str]:
    """The texts that the PPM scores, one a member."""
    prefix = [one.step for one in group.prefix]
    return [
        render_scored(group.question, [*prefix, *(one.step for one in member.steps)])
        for member in group.members
    ]
