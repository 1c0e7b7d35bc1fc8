"""GET /v1/models and POST /v1/chat/completions."""

import contextlib
import time
from collections.abc import AsyncGenerator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import ValidationError

from services.search.front import Front
from services.search.manager import Handle
from services.search.news import to_news
from services.search.rest import docs, sse
from services.search.rest.access import caller_of
from services.search.rest.openai import content
from services.search.rest.openai.documents import (
    MODEL,
    ChatCompletion,
    ChatRequest,
    Choice,
    Chunk,
    ChunkChoice,
    Delta,
    Model,
    ModelList,
    Reply,
)
from services.search.rest.openai.errors import ModelNotFound, Unsupported, from_error
from services.search.rest.solving import IdempotencyKey, wait_for_solution
from services.search.schemas import Progress, Solution, SolveRequest

_GONE = 499
_NONE: tuple[object, ...] = (None, [], {}, False)
# What would change the meaning of the reply must not be passed over in silence.
_UNSUPPORTED = ("tools", "functions", "audio", "logprobs", "prediction", "web_search_options")


def router(front: Front) -> APIRouter:
    """The operations over a front."""
    routes = APIRouter(prefix="/v1", tags=["openai"])
    model = Model(id=MODEL, created=int(time.time()))

    @routes.get(
        "/models",
        response_model=ModelList,
        responses=docs.openai_errors(),
        summary="List models",
        operation_id="listModels",
    )
    async def models() -> ModelList:
        return ModelList(data=[model])

    @routes.get(
        "/models/{name}",
        response_model=Model,
        responses=docs.openai_errors(404),
        summary="Look at a model",
        operation_id="getModel",
    )
    async def get(name: str) -> Model:
        if name != MODEL:
            raise ModelNotFound(name)
        return model

    @routes.post(
        "/chat/completions",
        response_model=ChatCompletion,
        responses=docs.CHAT_RESPONSES,
        summary="Solve the problem that a conversation ends with",
        operation_id="createChatCompletion",
    )
    async def complete(
        body: ChatRequest, request: Request, idempotency_key: IdempotencyKey = None
    ) -> Response:
        """OpenAI's chat completions: the last user message is solved by a search.

        The content is the solution's steps, and its answer in a last \\boxed{}. It is streamed when
        it is final; until then the stream carries comments.
        """
        handle = await front.begin(caller_of(request), _request(body), idempotency_key)
        if body.stream:
            chunks = _chunks(front, handle, with_usage=_wants_usage(body))
            return await sse.respond(sse.with_heartbeats(chunks, front.heartbeat_seconds))
        solution = await wait_for_solution(front, handle, request)
        if solution is None:
            return Response(status_code=_GONE)
        return JSONResponse(_completion(solution).model_dump())

    return routes


def _request(body: ChatRequest) -> SolveRequest:
    """The search that is asked for; ModelNotFound, Unsupported."""
    if body.model != MODEL:
        raise ModelNotFound(body.model)
    if body.n not in (None, 1):
        raise Unsupported("n", "a search gives one solution: n must be 1")
    extra: dict[str, Any] = body.model_extra or {}
    for name in _UNSUPPORTED:
        if extra.get(name) not in _NONE:
            raise Unsupported(name, f"{name} has no meaning for a search")
    form = extra.get("response_format") or {}
    if not isinstance(form, dict) or form.get("type", "text") != "text":
        raise Unsupported("response_format", "a solution is text: only the type text is given")
    try:
        return body.request()
    except ValidationError as error:
        first = error.errors()[0]
        raise Unsupported("messages", first["msg"].removeprefix("Value error, ")) from error


def _wants_usage(body: ChatRequest) -> bool:
    return body.stream_options is not None and body.stream_options.include_usage


def _completion(solution: Solution) -> ChatCompletion:
    return ChatCompletion(
        id=f"chatcmpl-{solution.search_id}",
        created=int(time.time()),
        model=MODEL,
        choices=[
            Choice(
                message=Reply(content="".join(content.parts(solution))),
                finish_reason=content.finish_reason(solution),
            )
        ],
        usage=content.usage(solution),
        rstar=content.result(solution),
    )


async def _chunks(front: Front, handle: Handle, *, with_usage: bool) -> AsyncGenerator[str, None]:
    """The stream of a completion: content when it is final, progress as comments before."""
    created = int(time.time())

    def chunk(*choices: ChunkChoice, **fields: Any) -> str:
        identity = f"chatcmpl-{handle.search_id}"
        one = Chunk(id=identity, created=created, model=MODEL, choices=list(choices), **fields)
        return f"data: {one.model_dump_json(exclude_none=True)}\n\n"

    yield chunk(ChunkChoice(delta=Delta(role="assistant", content="")))
    try:
        with front.leaving(handle):
            async with contextlib.aclosing(front.manager.watch(handle.search_id)) as entries:
                async for entry in entries:
                    news = to_news(handle.search_id, entry.event)
                    if isinstance(news, Progress):
                        yield f": progress {news.model_dump_json()}\n\n"
                        continue
                    for part in content.parts(news):
                        yield chunk(ChunkChoice(delta=Delta(content=part)))
                    end = ChunkChoice(delta=Delta(), finish_reason=content.finish_reason(news))
                    yield chunk(end, rstar=content.result(news))
                    if with_usage:
                        yield chunk(usage=content.usage(news))
    except Exception as error:
        _, document, _ = from_error(error)
        yield f"data: {document.model_dump_json()}\n\n"
        return
    yield "data: [DONE]\n\n"
