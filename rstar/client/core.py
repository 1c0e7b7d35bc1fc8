"""What both clients do, written once: calls, repeating them, following a search.

It is a coroutine over a transport. With the async client's it waits in an event loop; with the sync
client's every wait blocks, so that a coroutine runs to its end without ever being suspended.
"""

import contextlib
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from typing import Any, Protocol

import httpx

from rstar.client import wire
from rstar.client.errors import ApiError, ClientError
from rstar.client.models import ApiKey, Event, NewApiKey, Progress, Search, Solution, Tree
from rstar.client.retry import Retry
from rstar.client.sse import Decoder
from rstar.client.wire import Call, Model

Fields = Mapping[str, object]


class Transport(Protocol):
    """How requests are sent and how one waits. What httpx raises goes through."""

    async def request(self, call: Call[Any], read_seconds: float) -> httpx.Response:
        """Send a request; its reply, read."""

    def lines(self, call: Call[Any], read_seconds: float) -> AsyncGenerator[str, None]:
        """Send a request; the lines of its reply as they come. Raises as wire.check_stream."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    async def finish(self, work: Coroutine[Any, Any, None]) -> None:
        """Do work to its end, even where the caller is cancelled meanwhile."""

    async def close(self) -> None:
        """Give the connections back."""


class Core:
    """A connection to one search service.

    Every method raises ApiError (or one of its kinds) where the service refuses or fails, and
    Unreachable where it does not answer, after as many tries as `retry` says.
    """

    def __init__(
        self, url: str, transport: Transport, retry: Retry | None, timeout_seconds: float
    ) -> None:
        self.url = url
        self._transport = transport
        self._retry = retry or Retry()
        self._timeout = timeout_seconds

    async def close(self) -> None:
        """Give the connections back."""
        await self._transport.close()

    async def solve(
        self,
        problem: str,
        budget: Fields | None = None,
        search: Fields | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> Solution:
        """Solve one problem and wait for the result; leaving cancels the search.

        Args:
            problem: its text.
            budget: any of the fields of `budget` in POST /solve.
            search: any of the fields of `search` in POST /solve.
            idempotency_key: names this search: asked again with the same key, also by another
                process, the same search answers. A fresh one by default.

        Raises:
            SearchFailed: a fault has ended the search.
        """
        stream = self.stream(problem, budget, search, idempotency_key=idempotency_key)
        async with contextlib.aclosing(stream):
            async for event in stream:
                if isinstance(event, Solution):
                    return event
        raise ClientError(f"{self.url} ended the search without a solution")

    async def stream(
        self,
        problem: str,
        budget: Fields | None = None,
        search: Fields | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> AsyncGenerator[Progress | Solution, None]:
        """As `solve`, with progress after every trial; the Solution comes last."""
        search_id = await self.submit(problem, budget, search, idempotency_key=idempotency_key)
        is_over = False
        try:
            async with contextlib.aclosing(self.watch(search_id)) as events:
                async for event in events:
                    is_over = isinstance(event, Solution)
                    yield event
        except ClientError:
            is_over = True
            raise
        finally:
            if not is_over:
                await self._transport.finish(self._abandon(search_id))

    async def _abandon(self, search_id: str) -> None:
        """Cancel a search that nobody waits for any more, if the service can be reached."""
        with contextlib.suppress(ClientError):
            await self._try(wire.cancel(search_id))

    async def submit(
        self,
        problem: str,
        budget: Fields | None = None,
        search: Fields | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> str:
        """Start a search and return its id; it goes on whether or not anybody waits for it."""
        call = wire.submit(problem, budget, search, idempotency_key)
        return (await self._fetch(call)).search_id

    async def watch(self, search_id: str) -> AsyncGenerator[Progress | Solution, None]:
        """Follow a search that was submitted: progress so far and from now on, then the Solution.

        Leaving does not cancel it. SearchFailed where a fault has ended it.
        """
        async with contextlib.aclosing(self.events(search_id)) as entries:
            async for entry in entries:
                if (event := wire.outcome(entry)) is not None:
                    yield event

    async def events(self, search_id: str, after: str | None = None) -> AsyncGenerator[Event, None]:
        """The log of a search, entry by entry, to its end; reconnects where it breaks off.

        Args:
            search_id: the search.
            after: id of the last entry that is known; None from the first.
        """
        attempt, last = 1, after
        while True:
            try:
                async with contextlib.aclosing(self._connected_events(search_id, last)) as entries:
                    async for entry in entries:
                        attempt, last = 1, entry.id
                        yield entry
                        if entry.name in ("finished", "failed"):
                            return
                # Ended by a service that stops; another one goes on with the search.
                error: ClientError = wire.cut_short(self.url)
            except wire.NothingMore:
                return
            except ClientError as failure:
                error = failure
            await self._pause(error, attempt)
            attempt += 1

    async def _connected_events(
        self, search_id: str, after: str | None
    ) -> AsyncGenerator[Event, None]:
        decoder = Decoder(after)
        lines = self._transport.lines(wire.events(search_id, after), wire.SILENCE_SECONDS)
        try:
            async with contextlib.aclosing(lines):
                async for line in lines:
                    if (sent := decoder.feed(line)) is not None:
                        yield wire.event(sent)
        except httpx.HTTPError as error:
            raise wire.broken(self.url, error) from error

    async def get(self, search_id: str) -> Search:
        """A search, with its solution where it has ended."""
        return await self._fetch(wire.get(search_id))

    async def tree(self, search_id: str) -> Tree:
        """The tree of a search as it stands."""
        return await self._fetch(wire.tree(search_id))

    async def cancel(self, search_id: str) -> bool:
        """End a search; False where it has ended already."""
        try:
            await self._send(wire.cancel(search_id))
        except ApiError as error:
            if error.problem.status == wire.CONFLICT:
                return False
            raise
        return True

    async def searches(self, status: str | None = None) -> AsyncGenerator[Search, None]:
        """All searches that the key may see, the newest first, page after page."""
        cursor: str | None = None
        while True:
            page = await self._fetch(wire.page(cursor, status))
            for search in page.searches:
                yield search
            if (cursor := page.next) is None:
                return

    async def create_key(
        self,
        name: str,
        *,
        scopes: Sequence[str] = ("solve",),
        requests_per_minute: int | None = None,
        searches: int | None = None,
        expires_in_seconds: float | None = None,
    ) -> NewApiKey:
        """Make an API key; limits that are not given are the service's own. Needs `admin`."""
        fields = {
            "scopes": list(scopes),
            "requests_per_minute": requests_per_minute,
            "searches": searches,
            "expires_in_seconds": expires_in_seconds,
        }
        return await self._fetch(wire.create_key(name, fields))

    async def keys(self) -> list[ApiKey]:
        """All API keys, the oldest first. Needs `admin`."""
        return (await self._fetch(wire.list_keys())).keys

    async def revoke_key(self, key_id: str) -> None:
        """End an API key at once. Needs `admin`."""
        await self._send(wire.revoke_key(key_id))

    async def _fetch(self, call: Call[Model]) -> Model:
        return wire.present(call, await self._send(call))

    async def _send(self, call: Call[Model]) -> Model | None:
        attempt = 1
        while True:
            try:
                return await self._try(call)
            except ClientError as error:
                if not call.repeatable:
                    raise
                await self._pause(error, attempt)
            attempt += 1

    async def _pause(self, error: ClientError, attempt: int) -> None:
        """Wait before the next try; raises the error where there is none."""
        pause = self._retry.pause(error, attempt)
        if pause is None:
            raise error
        await self._transport.sleep(pause)

    async def _try(self, call: Call[Model]) -> Model | None:
        try:
            reply = await self._transport.request(call, self._timeout)
        except httpx.HTTPError as error:
            raise wire.broken(self.url, error) from error
        return wire.parse(call, reply)
