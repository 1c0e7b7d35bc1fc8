"""Problems that are learnt from, and others that are measured on."""

from collections.abc import Sequence

from trainer.problems.problem import BadProblems, Problem


def keep_apart(learnt: Sequence[Problem], measured_on: Sequence[Problem]) -> None:
    """Do nothing, or raise BadProblems where a question is among both."""
    shared = {one.question.strip() for one in learnt} & {
        one.question.strip() for one in measured_on
    }
    if shared:
        raise BadProblems(
            f"evaluation.problems: {len(shared)} of them are in harvest.problems too, "
            f"{min(shared)[:80]!r} for one: what is measured on is never trained on"
        )
