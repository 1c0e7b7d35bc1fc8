"""Candidates as messages of the contract."""

from services.common.pb.policy.v1 import policy_pb2 as pb
from services.policy.candidates import Candidate
from services.policy.prompts import AnswerSource


def response(
    index: int, candidate: Candidate, version: str, source: AnswerSource
) -> pb.ProposeResponse:
    """The message of one candidate, drawn by this version of a model."""
    return pb.ProposeResponse(
        index=index,
        steps=[
            pb.ProposedStep(text=step.text, tokens=step.tokens, mean_logprob=step.mean_logprob)
            for step in candidate.steps
        ],
        tokens=candidate.tokens,
        finish_reason=pb.FinishReason.Value(f"FINISH_REASON_{candidate.finish.name}"),
        model_version=version,
        answer_source=answer_source(source),
    )


def answer_source(source: AnswerSource) -> "pb.AnswerSource.ValueType":
    """As the contract names it."""
    return pb.AnswerSource.Value(f"ANSWER_SOURCE_{source.name}")


def together(replies: list[pb.ProposeResponse], *, takes_more: bool) -> list[pb.ProposeResponse]:
    """What is finished at the same time: one message of all, for a caller who takes that."""
    if not takes_more:
        return replies
    replies[0].more.extend(replies[1:])
    return replies[:1]
