"""Messages of the gRPC SearchService from and to the models of the REST API; pure."""

from typing import Any

from pydantic import ValidationError

from services.common import rpc
from services.common.pb.search.v1 import search_pb2 as pb
from services.search.narration import Brought
from services.search.schemas import Progress, Solution, SolveRequest, Usage
from services.search.store.entry import Entry
from services.search.store.events import Failed, Finished
from services.search.store.summary import Summary
from services.search.views import NodeView, StartedEvent, TrialEvent

# Fields of SearchOptions that are enums, by their names in both forms.
_ENUMS: dict[str, tuple[Any, str]] = {
    "answer": (pb.AnswerRule, "ANSWER_RULE_"),
    "expansion": (pb.Expansion, "EXPANSION_"),
    "versions": (pb.Versions, "VERSIONS_"),
    "method": (pb.Method, "METHOD_"),
}


def to_request(message: pb.SolveRequest) -> SolveRequest:
    """The request with defaults for what is unset; InvalidField names what breaks a limit."""
    budget = message.budget
    options = {field.name: value for field, value in message.search.ListFields()}
    for name, (enum, prefix) in _ENUMS.items():
        if name in options:
            options[name] = _word(name, enum, prefix, options[name])
    amounts = {
        "rollouts": budget.rollouts,
        "tokens": budget.tokens,
        "seconds": budget.seconds,
        "ladder": list(budget.ladder),
    }
    fields: dict[str, Any] = {
        "problem": message.problem,
        "budget": {name: amount for name, amount in amounts.items() if amount},
        "search": options,
    }
    if message.ground_truth:
        fields["ground_truth"] = message.ground_truth
    try:
        return SolveRequest.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        raise rpc.InvalidField(".".join(map(str, first["loc"])), first["msg"]) from error


def _word(field: str, enum: Any, prefix: str, value: int) -> str:
    """The word that REST uses for a value of an enum."""
    if value not in enum.values():
        raise rpc.InvalidField(f"search.{field}", f"unknown value {value}")
    name: str = enum.Name(value)
    return name.removeprefix(prefix).lower()


def to_response(event: Progress | Solution) -> pb.SolveResponse:
    """The message of an event of a search."""
    if isinstance(event, Progress):
        return pb.SolveResponse(progress=to_progress(event))
    return pb.SolveResponse(solution=to_solution(event))


def to_progress(progress: Progress) -> pb.SolveProgress:
    """How far a search is."""
    return pb.SolveProgress(
        search_id=progress.search_id,
        answer=progress.answer or "",
        confidence=progress.confidence,
        usage=_usage(progress.usage),
    )


def to_solution(solution: Solution) -> pb.Solution:
    """The result of a search."""
    return pb.Solution(
        search_id=solution.search_id,
        answer=solution.answer,
        confidence=solution.confidence,
        steps=[pb.SolutionStep(**step.model_dump()) for step in solution.steps],
        alternatives=[pb.Alternative(**one.model_dump()) for one in solution.alternatives],
        stop_reason=_stop_reason(solution.stop_reason),
        usage=_usage(solution.usage),
        models=pb.Models(policy=solution.models.policy, ppm=solution.models.ppm or ""),
        guided=solution.guided,
        trace_id=solution.trace_id or "",
    )


def _usage(usage: Usage) -> pb.Usage:
    return pb.Usage(**usage.model_dump())


def _stop_reason(word: str) -> pb.StopReason.ValueType:
    return pb.StopReason.Value(f"STOP_REASON_{word.upper()}")


def to_summary(summary: Summary) -> pb.SearchSummary:
    """A search at a glance."""
    return pb.SearchSummary(
        search_id=summary.search_id,
        status=pb.SearchStatus.Value(f"SEARCH_STATUS_{summary.status.upper()}"),
        created=summary.created,
        ended=summary.ended,
        problem=summary.problem,
        method=summary.method,
        answer=summary.answer,
        confidence=summary.confidence,
        stop_reason=_stop_reason(summary.stop_reason) if summary.stop_reason else None,
        usage=_usage(summary.usage),
        failure=summary.failure or "",
        key_id=summary.key_id or "",
    )


def to_status(value: int) -> Any:
    """The word of a SearchStatus, None for any; InvalidField for one that does not exist."""
    if value not in pb.SearchStatus.values():
        raise rpc.InvalidField("status", f"unknown value {value}")
    word = pb.SearchStatus.Name(pb.SearchStatus.ValueType(value))
    return word.removeprefix("SEARCH_STATUS_").lower() if value else None


def to_entry(entry: Entry, brought: Brought) -> pb.WatchResponse:
    """An entry of a log and what it brought."""
    message = pb.WatchResponse(id=entry.id, at=entry.event.at)
    match entry.event:
        case Finished(solution=solution):
            message.finished.CopyFrom(to_solution(solution))
        case Failed(cause=cause, detail=detail):
            message.failed.CopyFrom(pb.SearchFailure(cause=cause, detail=detail))
    match brought:
        case StartedEvent():
            message.started.CopyFrom(
                pb.SearchStarted(
                    search_id=brought.search_id,
                    problem=brought.problem,
                    seed=brought.seed,
                    ppm=brought.ppm or "",
                )
            )
        case TrialEvent():
            message.trial.CopyFrom(_trial(brought))
    return message


def _trial(event: TrialEvent) -> pb.TrialTold:
    return pb.TrialTold(
        trial=event.trial,
        rollout=event.rollout,
        node_id=event.node_id,
        tree=event.tree,
        nodes=[_node(node) for node in event.nodes],
        updates=[pb.NodeUpdate(**one.model_dump()) for one in event.updates],
        best=event.best,
        progress=to_progress(event.progress),
    )


def _node(node: NodeView) -> pb.Node:
    return pb.Node(
        id=node.id,
        parent=node.parent or "",
        depth=node.depth,
        text=node.text,
        code=node.code,
        output=node.output,
        error=node.error,
        outcome=pb.NodeOutcome.Value(f"NODE_OUTCOME_{node.outcome.upper()}"),
        ppm_score=node.ppm_score,
        tokens=node.tokens,
        mean_logprob=node.mean_logprob,
        answer=node.answer,
        tree=node.tree,
        policy=node.policy,
        ppm=node.ppm,
    )
