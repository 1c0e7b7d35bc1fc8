"""The sync client: the core over a transport that blocks, so that nothing is ever suspended."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Generator, Iterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from rstar.client import wire
from rstar.client.core import Core, Fields
from rstar.client.models import ApiKey, Event, NewApiKey, Progress, Search, Solution, Tree
from rstar.client.retry import Retry
from rstar.client.wire import Call

Result = TypeVar("Result")
Item = TypeVar("Item")


class Client:
    """A connection to one search service; a context manager, for one thread at a time.

    Every method raises ApiError (or one of its kinds) where the service refuses or fails, and
    Unreachable where it does not answer, after as many tries as `retry` says.
    """

    def __init__(
        self,
        url: str = wire.DEFAULT_URL,
        *,
        api_key: str | None = None,
        retry: Retry | None = None,
        timeout_seconds: float = wire.REPLY_SECONDS,
    ) -> None:
        """Args as of AsyncClient."""
        self.url = url.rstrip("/")
        self._core = Core(self.url, BlockingTransport(self.url, api_key), retry, timeout_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        _run(self._core.close())

    def solve(
        self,
        problem: str,
        budget: Fields | None = None,
        search: Fields | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> Solution:
        """See AsyncClient.solve."""
        return _run(self._core.solve(problem, budget, search, idempotency_key=idempotency_key))

    def stream(
        self,
        problem: str,
        budget: Fields | None = None,
        search: Fields | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> Generator[Progress | Solution, None, None]:
        """See AsyncClient.stream."""
        return _each(self._core.stream(problem, budget, search, idempotency_key=idempotency_key))

    def submit(
        self,
        problem: str,
        budget: Fields | None = None,
        search: Fields | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> str:
        """See AsyncClient.submit."""
        return _run(self._core.submit(problem, budget, search, idempotency_key=idempotency_key))

    def watch(self, search_id: str) -> Generator[Progress | Solution, None, None]:
        """See AsyncClient.watch."""
        return _each(self._core.watch(search_id))

    def events(self, search_id: str, after: str | None = None) -> Generator[Event, None, None]:
        """See AsyncClient.events."""
        return _each(self._core.events(search_id, after))

    def get(self, search_id: str) -> Search:
        """See AsyncClient.get."""
        return _run(self._core.get(search_id))

    def tree(self, search_id: str) -> Tree:
        """See AsyncClient.tree."""
        return _run(self._core.tree(search_id))

    def cancel(self, search_id: str) -> bool:
        """See AsyncClient.cancel."""
        return _run(self._core.cancel(search_id))

    def searches(self, status: str | None = None) -> Iterator[Search]:
        """See AsyncClient.searches."""
        return _each(self._core.searches(status))

    def create_key(
        self,
        name: str,
        *,
        scopes: Sequence[str] = ("solve",),
        requests_per_minute: int | None = None,
        searches: int | None = None,
        expires_in_seconds: float | None = None,
    ) -> NewApiKey:
        """See AsyncClient.create_key."""
        return _run(
            self._core.create_key(
                name,
                scopes=scopes,
                requests_per_minute=requests_per_minute,
                searches=searches,
                expires_in_seconds=expires_in_seconds,
            )
        )

    def keys(self) -> list[ApiKey]:
        """See AsyncClient.keys."""
        return _run(self._core.keys())

    def revoke_key(self, key_id: str) -> None:
        """See AsyncClient.revoke_key."""
        _run(self._core.revoke_key(key_id))


class BlockingTransport:
    """Blocks where others would wait; see core.Transport."""

    def __init__(self, url: str, api_key: str | None) -> None:
        self._http = httpx.Client(**wire.options(url, api_key))

    async def request(self, call: Call[Any], read_seconds: float) -> httpx.Response:
        """Send a request."""
        return self._http.request(**wire.arguments(call, read_seconds))

    async def lines(self, call: Call[Any], read_seconds: float) -> AsyncGenerator[str, None]:
        """Send a request and read its reply by lines."""
        with self._http.stream(**wire.arguments(call, read_seconds)) as reply:
            if not reply.is_success:
                reply.read()
            wire.check_stream(reply)
            for line in reply.iter_lines():
                yield line

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)  # noqa: ASYNC251 - there is no event loop to hold up

    async def finish(self, work: Coroutine[Any, Any, None]) -> None:
        """Nothing can cancel it."""
        await work

    async def close(self) -> None:
        """Close the connections."""
        self._http.close()


def _run(work: Coroutine[Any, Any, Result]) -> Result:
    """The result of a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as end:
        result: Result = end.value
        return result
    work.close()
    raise RuntimeError("the core has waited for something that is not its transport")


def _each(items: AsyncGenerator[Item, None]) -> Generator[Item, None, None]:
    """The items of an async generator that never waits; closes it when it is left."""
    try:
        while True:
            try:
                item = _run(_next(items))
            except StopAsyncIteration:
                return
            yield item
    finally:
        _run(items.aclose())


async def _next(items: AsyncIterator[Item]) -> Item:
    return await anext(items)
