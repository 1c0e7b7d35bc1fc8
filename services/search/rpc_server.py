"""The gRPC SearchService: POST /solve in protobuf."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
from pydantic import ValidationError

from services.common import rpc
from services.common.pb.search.v1 import search_pb2 as pb
from services.common.pb.search.v1 import search_pb2_grpc
from services.search.clients.calls import RejectedError
from services.search.clients.dependencies import DependencyError
from services.search.manager import BusyError, Manager, SearchFailed
from services.search.news import stay_or_cancel, to_news
from services.search.schemas import Progress, Solution, SolveRequest

SERVICE = pb.DESCRIPTOR.services_by_name["SearchService"].full_name


class SearchServicer(search_pb2_grpc.SearchServiceServicer):
    """Runs searches for gRPC callers."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager

    @rpc.streaming
    async def Solve(  # noqa: N802 - the name in the contract
        self, request: pb.SolveRequest, context: rpc.Context
    ) -> AsyncIterator[pb.SolveResponse]:
        """Progress after each trial, then the solution."""
        try:
            handle = await self._manager.begin(to_request(request))
            async with stay_or_cancel(self._manager, handle):
                async for entry in self._manager.watch(handle.search_id):
                    yield to_response(to_news(handle.search_id, entry.event))
        except (BusyError, DependencyError, RejectedError, SearchFailed) as error:
            raise to_status(error) from error


def to_status(error: BusyError | DependencyError | RejectedError | SearchFailed) -> rpc.StatusError:
    """The RPC status of a search's failure."""
    match error:
        case BusyError():
            return rpc.StatusError(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))
        case DependencyError():
            return rpc.StatusError(grpc.StatusCode.UNAVAILABLE, str(error))
        case RejectedError():
            return rpc.InvalidField("problem", str(error))
        case SearchFailed():
            return rpc.StatusError(grpc.StatusCode.INTERNAL, str(error))


def to_request(message: pb.SolveRequest) -> SolveRequest:
    """The request with defaults for what is unset; InvalidField names what breaks a limit."""
    budget = message.budget
    options = {field.name: value for field, value in message.search.ListFields()}
    for name, enum in (("answer", pb.AnswerRule), ("expansion", pb.Expansion)):
        if name in options:
            options[name] = _word(name, enum, options[name])
    amounts = {"rollouts": budget.rollouts, "tokens": budget.tokens, "seconds": budget.seconds}
    try:
        return SolveRequest.model_validate(
            {
                "problem": message.problem,
                "budget": {name: amount for name, amount in amounts.items() if amount},
                "search": options,
            }
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise rpc.InvalidField(".".join(map(str, first["loc"])), first["msg"]) from error


def _word(field: str, enum: Any, value: int) -> str:
    """The word that REST uses for a value of an enum."""
    if value not in enum.values():
        raise rpc.InvalidField(f"search.{field}", f"unknown value {value}")
    name: str = enum.Name(value)
    # ANSWER_RULE_BEST is "best": the prefix is the enum's own name in capitals.
    return name.removeprefix("ANSWER_RULE_").removeprefix("EXPANSION_").lower()


def to_response(event: Progress | Solution) -> pb.SolveResponse:
    """The message of an event of a search."""
    if isinstance(event, Progress):
        return pb.SolveResponse(
            progress=pb.SolveProgress(
                search_id=event.search_id,
                answer=event.answer or "",
                confidence=event.confidence,
                usage=pb.Usage(**event.usage.model_dump()),
            )
        )
    return pb.SolveResponse(
        solution=pb.Solution(
            search_id=event.search_id,
            answer=event.answer,
            confidence=event.confidence,
            steps=[pb.SolutionStep(**step.model_dump()) for step in event.steps],
            alternatives=[pb.Alternative(**one.model_dump()) for one in event.alternatives],
            stop_reason=pb.StopReason.Value(f"STOP_REASON_{event.stop_reason.upper()}"),
            usage=pb.Usage(**event.usage.model_dump()),
            models=pb.Models(policy=event.models.policy, ppm=event.models.ppm or ""),
            guided=event.guided,
        )
    )
