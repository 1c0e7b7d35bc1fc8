"""The REST API of the search, typed."""

from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

DEFAULT_URL = "http://127.0.0.1:8000"
CONNECT_SECONDS = 5.0
# A running search sends an event about once a second.
SILENCE_SECONDS = 60.0
OVERTIME_SECONDS = 60.0
DEFAULT_BUDGET_SECONDS = 120.0
HTTP_OK = 200

Model = TypeVar("Model", bound=BaseModel)


class Step(BaseModel):
    """One step of a solution: what it says, its code and output, and its worth (-1 to 1)."""

    text: str
    code: str
    output: str
    q: float
    visits: int
    ppm_score: float | None = None


class Alternative(BaseModel):
    """One of the answers found, with its share of the weight of all (0 to 1)."""

    answer: str
    weight: float
    trajectories: int


class Usage(BaseModel):
    """What a search has spent."""

    rollouts: int
    nodes: int
    policy_tokens: int
    ppm_calls: int
    sandbox_runs: int
    seconds: float


class Models(BaseModel):
    """The model versions that a search used; no PPM in an unguided one."""

    policy: str
    ppm: str | None = None


class Progress(BaseModel):
    """A running search: its best answer so far and that answer's share of the weight (0 to 1)."""

    search_id: str
    answer: str | None = None
    confidence: float
    usage: Usage


class Solution(BaseModel):
    """The result of a search; `answer` is None where no solution was finished."""

    search_id: str
    answer: str | None = None
    confidence: float
    steps: list[Step]
    alternatives: list[Alternative]
    stop_reason: str
    usage: Usage
    models: Models
    guided: bool = False


class FieldError(BaseModel):
    """A field at fault and the limit that it breaks."""

    field: str
    limit: str


class Problem(BaseModel):
    """An error as the API sends it (RFC 9457)."""

    title: str
    status: int
    detail: str = ""
    errors: list[FieldError] | None = None
    dependency: str | None = None


class ClientError(Exception):
    """A request that did not lead to a solution; the message is one line for people."""


class Unreachable(ClientError):  # noqa: N818 - a state
    """Nothing answers at the URL, or what answered fell silent."""


class ApiError(ClientError):
    """The service refused the request or failed.

    Attributes:
        problem: what it said.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        fields = "; ".join(f"{error.field}: {error.limit}" for error in problem.errors or [])
        said = fields or problem.detail or problem.title
        super().__init__(f"{problem.status} {problem.title}: {said}" if said else problem.title)


class Client:
    """A connection to one search service; an async context manager."""

    def __init__(self, url: str = DEFAULT_URL) -> None:
        self.url = url.rstrip("/")
        # Proxies of the environment are for the world outside, not for the stack.
        self._http = httpx.AsyncClient(base_url=self.url, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def solve(
        self,
        problem: str,
        budget: Mapping[str, object] | None = None,
        search: Mapping[str, object] | None = None,
    ) -> Solution:
        """Solve one problem and wait for the result.

        Args:
            problem: its text.
            budget: any of rollouts, tokens, seconds.
            search: any of the fields of `search` in POST /solve.

        Raises:
            ApiError: the service refused it or failed.
            Unreachable: it does not answer.
        """
        seconds = (budget or {}).get("seconds")
        allowed = float(seconds) if isinstance(seconds, int | float) else DEFAULT_BUDGET_SECONDS
        timeout = httpx.Timeout(allowed + OVERTIME_SECONDS, connect=CONNECT_SECONDS)
        body = _body(problem, budget, search)
        try:
            reply = await self._http.post("/solve", json=body, timeout=timeout)
        except httpx.HTTPError as error:
            raise _unreachable(self.url, error) from error
        if reply.status_code != HTTP_OK:
            raise ApiError(_problem(reply))
        return _parse(Solution, reply.text)

    async def stream(
        self,
        problem: str,
        budget: Mapping[str, object] | None = None,
        search: Mapping[str, object] | None = None,
    ) -> AsyncIterator[Progress | Solution]:
        """As `solve`, with progress about once a second; the Solution comes last."""
        body = _body(problem, budget, search) | {"stream": True}
        timeout = httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS)
        try:
            async with self._http.stream("POST", "/solve", json=body, timeout=timeout) as reply:
                if reply.status_code != HTTP_OK:
                    await reply.aread()
                    raise ApiError(_problem(reply))
                async for name, data in _events(reply.aiter_lines()):
                    if name == "error":
                        raise ApiError(_parse(Problem, data))
                    if name == "progress":
                        yield _parse(Progress, data)
                    if name == "solution":
                        yield _parse(Solution, data)
                        return
        except httpx.HTTPError as error:
            raise _unreachable(self.url, error) from error
        raise Unreachable(f"{self.url} ended the search without a solution")


def _body(
    problem: str, budget: Mapping[str, object] | None, search: Mapping[str, object] | None
) -> dict[str, Any]:
    return {"problem": problem, "budget": dict(budget or {}), "search": dict(search or {})}


async def _events(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, str]]:
    """Server-sent events (name, data) out of lines; comments and unknown fields are passed over."""
    name, data = "message", list[str]()
    async for line in lines:
        field, _, value = line.partition(":")
        if field == "event":
            name = value.removeprefix(" ")
        elif field == "data":
            data.append(value.removeprefix(" "))
        elif not line:
            if data:
                yield name, "\n".join(data)
            name, data = "message", []


def _unreachable(url: str, error: httpx.HTTPError) -> Unreachable:
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return Unreachable(f"nothing answers at {url}: start the stack with `rstar up`")
    return Unreachable(f"{url} broke off: {type(error).__name__} {error}".rstrip())


def _problem(reply: httpx.Response) -> Problem:
    try:
        return Problem.model_validate_json(reply.content)
    except ValidationError:
        return Problem(title=reply.reason_phrase, status=reply.status_code, detail=reply.text[:200])


def _parse(model: type[Model], text: str) -> Model:
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        where = error.errors()[0]
        raise ClientError(
            f"an unexpected {model.__name__} came back: {where['loc']}: {where['msg']}"
        ) from error
