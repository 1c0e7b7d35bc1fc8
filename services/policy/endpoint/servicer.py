"""The policy's contract, kept by an endpoint."""

import asyncio
import contextlib
import hashlib
import re
from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import urlsplit

import grpc

from services.common import rpc
from services.common.inference.gate import Gate
from services.common.pb.policy.v1 import policy_pb2 as pb
from services.common.pb.policy.v1 import policy_pb2_grpc as pb_grpc
from services.policy import asks, messages
from services.policy.endpoint import prompts
from services.policy.endpoint.drawing import Drawer
from services.policy.endpoint.settings import EndpointSettings
from services.policy.meters import IN_FLIGHT, count
from services.policy.prompts import AnswerSource

NAME: Final = pb.DESCRIPTOR.services_by_name["PolicyService"].full_name
_PREFIX: Final = "endpoint-"
_LONGEST_VERSION: Final = 100
_DIGEST: Final = 8


def version_of(model: str) -> str:
    """What candidates of a model behind an endpoint are labelled with: a version's name.

    A model whose name had to be shortened, or holds what no version may, but for a slash, gets a
    hash of its name.
    """
    plain = re.sub(r"[^A-Za-z0-9._-]", "-", model)
    digest = hashlib.sha256(model.encode()).hexdigest()[:_DIGEST]
    room = _LONGEST_VERSION - len(_PREFIX)
    if len(plain) <= room and plain == model.replace("/", "-"):
        return f"{_PREFIX}{plain}"
    return f"{_PREFIX}{plain[: room - _DIGEST - 1]}-{digest}"


class EndpointServicer(pb_grpc.PolicyServiceServicer):
    """PolicyService; UNAVAILABLE until the endpoint has answered."""

    def __init__(self, settings: EndpointSettings, drawer: Drawer) -> None:
        self._settings = settings
        self._drawer = drawer
        self._version = version_of(settings.model)
        self._context_tokens = 0
        self._gate = Gate(settings.max_in_flight, "candidates", IN_FLIGHT)

    def open(self, context_tokens: int) -> None:
        """Serve from here on; the longest prompt and continuation, in tokens."""
        self._context_tokens = context_tokens

    @rpc.unary
    async def Info(  # noqa: N802 - the contract's name
        self, request: pb.InfoRequest, context: rpc.Context
    ) -> pb.InfoResponse:
        """Answer with the model and the limits."""
        self._check_open()
        settings = self._settings
        return pb.InfoResponse(
            model_version=self._version,
            context_tokens=self._context_tokens,
            max_count=settings.max_count,
            max_problem_chars=settings.max_problem_chars,
            max_steps=settings.max_steps,
            answer_source=pb.ANSWER_SOURCE_OUTPUT,
            max_in_flight=settings.max_in_flight,
            batch_sequences=self._drawer.width,
            prompt_version=prompts.version(settings.api),
            engine=f"{settings.api} endpoint, {urlsplit(settings.url).hostname}",
        )

    @rpc.streaming
    async def Propose(  # noqa: N802 - the contract's name
        self, request: pb.ProposeRequest, context: rpc.Context
    ) -> AsyncIterator[pb.ProposeResponse]:
        """Send candidates as they come."""
        self._check_open()
        if request.model_version not in ("", self._version):
            raise rpc.StatusError(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"model_version: {request.model_version!r} is not served, {self._version!r} is",
            )
        ask = asks.parse(request, self._settings, self._context_tokens)
        if fault := prompts.RAW.continues(ask.steps):
            raise rpc.InvalidField("steps", fault)
        drawn = self._drawer.draw(ask, self._deadline(context))
        with self._gate.hold(ask.count):
            async with contextlib.aclosing(drawn):
                async for several in drawn:
                    for _, one in several:
                        count(one)
                    replies = [
                        messages.response(index, one, self._version, AnswerSource.OUTPUT)
                        for index, one in several
                    ]
                    for message in messages.together(replies, takes_more=request.takes_more):
                        yield message

    def _check_open(self) -> None:
        if not self._context_tokens:
            raise rpc.StatusError(grpc.StatusCode.UNAVAILABLE, "the endpoint has not answered yet")

    def _deadline(self, context: rpc.Context) -> float:
        """The caller's; a bound of our own for one who has none. By the event loop's clock."""
        own = self._settings.request_seconds * (self._settings.retries + 1)
        left = context.time_remaining()
        return asyncio.get_running_loop().time() + (own if left is None else min(left, own))
