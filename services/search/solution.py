"""The result of a search, as its caller sees it; pure."""

from services.common.steps import split_comment
from services.search.answer import AnswerRule, rank_answers
from services.search.budget import StopReason
from services.search.node import Node
from services.search.schemas import Alternative, Models, Solution, Step, Usage
from services.search.tree import Guidance, Tree


def describe(
    tree: Tree,
    rule: AnswerRule,
    search_id: str,
    reason: StopReason,
    usage: Usage,
    models: Models,
) -> Solution:
    """The solution of a tree under an answer rule."""
    ranked = rank_answers(tree, rule)
    chosen = ranked[0] if ranked else None
    return Solution(
        search_id=search_id,
        answer=chosen.answer if chosen else None,
        confidence=chosen.weight if chosen else 0.0,
        steps=_steps(tree, chosen.best) if chosen else [],
        alternatives=[
            Alternative(answer=one.answer, weight=one.weight, trajectories=one.trajectories)
            for one in ranked
        ],
        stop_reason=reason.value,
        usage=usage,
        models=models,
        guided=tree.config.guidance is Guidance.PPM,
    )


def _steps(tree: Tree, leaf: Node) -> list[Step]:
    """The steps of the solution that ends at a leaf, from the first."""
    steps = []
    code_ended = False
    for node in leaf.path():
        if node.step is None:
            continue
        # What follows the end of the code is the written answer, not a comment and code.
        comment, code = (node.step.text, "") if code_ended else split_comment(node.step.text)
        steps.append(
            Step(
                text=comment,
                code=code,
                output=node.step.output,
                q=tree.q(node),
                visits=node.visits,
                ppm_score=node.step.ppm_score,
            )
        )
        code_ended = code_ended or node.step.ends_code
    return steps
