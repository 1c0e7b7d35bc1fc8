"""The result of a search, as its caller sees it; pure."""

from services.common.steps import split_comment
from services.search.budget import StopReason
from services.search.forest import Forest
from services.search.node import Node
from services.search.schemas import Alternative, Models, Progress, Solution, Step, Usage


def progress(forest: Forest, search_id: str, usage: Usage) -> Progress:
    """How far a search is; takes the same time however much it has found."""
    leader = forest.ballot.leader
    return Progress(
        search_id=search_id,
        answer=leader.answer if leader else None,
        confidence=forest.ballot.share(leader) if leader else 0.0,
        usage=usage,
    )


def describe(
    forest: Forest, search_id: str, reason: StopReason, usage: Usage, models: Models
) -> Solution:
    """The result of a search under its answer rule."""
    ballot = forest.ballot
    chosen = ballot.leader
    return Solution(
        search_id=search_id,
        answer=chosen.answer if chosen else None,
        confidence=ballot.share(chosen) if chosen else 0.0,
        steps=_steps(forest.best_solution()),
        alternatives=[
            Alternative(answer=one.answer, weight=ballot.share(one), trajectories=one.trajectories)
            for one in ballot.ranked()
        ],
        stop_reason=reason.value,
        usage=usage,
        models=models,
        guided=forest.config.guided,
    )


def _steps(solution: list[tuple[Node, float]]) -> list[Step]:
    """The steps of a solution from the first, each with its Q-value."""
    steps = []
    code_ended = False
    for node, q in solution:
        if node.step is None:
            continue
        # What follows the end of the code is the written answer, not a comment and code.
        comment, code = (node.step.text, "") if code_ended else split_comment(node.step.text)
        steps.append(
            Step(
                text=comment,
                code=code,
                output=node.step.output,
                q=q,
                visits=node.visits,
                ppm_score=node.step.ppm_score,
            )
        )
        code_ended = code_ended or node.step.ends_code
    return steps
