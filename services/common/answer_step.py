"""The answer step of a solution whose answer is what its code printed, as a chat model's is.

A policy that was trained on the grammar writes one. So training rows get it, and so does what the
PPM is asked about: one that was trained on either kind judges both.
"""

from services.common.grading import answers
from services.common.steps import Step


def answer_step(output: str, graded: str) -> Step:
    """The step that follows the code.

    The printed form is preferred to the graded one, for a model learns to copy sooner than to
    rewrite; but it must be read back as the same answer.

    Args:
        output: what the code printed.
        graded: the answer in the form in which it was compared with others.
    """
    printed = answers.from_output(output)
    if printed is not None:
        text = f"\\boxed{{{printed}}}"
        if answers.from_text(text) == printed:
            return Step(text)
    return Step(f"\\boxed{{{graded}}}")
