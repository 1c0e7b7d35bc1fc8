"""Requests to the server behind the endpoint: bounded, retried where the trouble may pass."""

import asyncio
import contextlib
import json
import random
import re
import time
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from typing import Any, Final

import grpc
import httpx

from services.common import logs, rpc
from services.policy.endpoint.settings import EndpointSettings

_TRANSIENT: Final = frozenset({408, 425, 429})
_SERVER_FAULT: Final = 500
# A key may be good for completions alone.
_NO_LIST: Final = frozenset({403, 404, 405})
_OK: Final = range(200, 300)
_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 30.0
_CONNECT_SECONDS: Final = 10.0
_LONGEST_BODY: Final = 64 * 1024 * 1024
_LONGEST_SAID: Final = 200

log = logs.get(__name__)


class Refused(Exception):  # noqa: N818 - names what the server did
    """The server does not take a request, and would not take it again.

    Attributes:
        status: of HTTP.
        said: why, in its own words; one short line without the key.
        field: of the request, where the server names one; else empty.
    """

    def __init__(self, status: int, said: str, field: str = "") -> None:
        super().__init__(f"HTTP {status}: {said}")
        self.status, self.said, self.field = status, said, field


class _Trouble(Exception):  # noqa: N818 - may pass
    """Why a try failed.

    Attributes:
        status: of HTTP; 0 where there was no answer.
        wait_seconds: for which the server asks to be left alone.
    """

    def __init__(self, why: str, status: int = 0, wait_seconds: float = 0.0) -> None:
        super().__init__(why)
        self.why, self.status, self.wait_seconds = why, status, wait_seconds


class Client:
    """The server's API. One connection pool, at most `max_requests` requests at once."""

    def __init__(self, settings: EndpointSettings, key: str) -> None:
        """`key` is shown with each request; empty for none."""
        self._settings = settings
        self._key = key
        self._places = asyncio.Semaphore(settings.max_requests)
        self._http = httpx.AsyncClient(
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(settings.request_seconds, connect=_CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=settings.max_requests + 1),
        )

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def complete(self, body: dict[str, Any], deadline: float) -> Any:
        """POST a request for completions; the reply as parsed JSON.

        Args:
            body: the request's fields.
            deadline: of the event loop's clock, in seconds; all tries and pauses end by then.

        Raises:
            Refused: for good.
            rpc.StatusError: UNAVAILABLE after the last try, DEADLINE_EXCEEDED.
        """
        path = "/chat/completions" if self._settings.api == "chat" else "/completions"
        try:
            async with asyncio.timeout_at(deadline), self._places:
                return await self._persist(path, body, deadline)
        except TimeoutError:
            raise rpc.StatusError(
                grpc.StatusCode.DEADLINE_EXCEEDED, "the endpoint did not answer in time"
            ) from None

    async def models(self) -> Any:
        """GET the list of models, once; None where the server is there, but gives no such list.

        Raises:
            Refused: the server refuses the key, say.
            rpc.StatusError: UNAVAILABLE, it does not answer.
        """
        try:
            return await self._try("GET", "/models", None)
        except _Trouble as trouble:
            if trouble.status == httpx.codes.TOO_MANY_REQUESTS:
                return None
            raise _unavailable(trouble, 1) from None
        except Refused as refused:
            if refused.status in _NO_LIST:
                return None
            raise

    async def _persist(self, path: str, body: dict[str, Any], deadline: float) -> Any:
        tries = 0
        while True:
            try:
                return await self._try("POST", path, body)
            except _Trouble as trouble:
                tries += 1
                pause = min(_FIRST_PAUSE_SECONDS * 2 ** (tries - 1), _LONGEST_PAUSE_SECONDS)
                # Jitter spreads out what one full server has turned away.
                pause *= random.uniform(0.5, 1.0)  # noqa: S311 - not a secret
                pause = max(pause, trouble.wait_seconds)
                late = asyncio.get_running_loop().time() + pause >= deadline
                if tries > self._settings.retries or late:
                    raise _unavailable(trouble, tries) from None
                log.warning("endpoint, trying again", why=trouble.why, seconds=round(pause, 1))
            await asyncio.sleep(pause)

    async def _try(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        """One try. Raises _Trouble or Refused."""
        seconds = self._settings.request_seconds
        try:
            async with asyncio.timeout(seconds), self._reply(method, path, body) as reply:
                text = await _body(reply)
        except TimeoutError:
            raise _Trouble(f"no answer within {seconds:g} s") from None
        except httpx.HTTPError as error:
            raise _Trouble(self._line(str(error) or type(error).__name__)) from None
        except httpx.InvalidURL as error:
            raise Refused(0, self._line(str(error))) from None
        if reply.status_code in _OK:
            try:
                return json.loads(text)
            except (ValueError, RecursionError):
                raise _Trouble("the reply is no JSON") from None
        why, field = _said(text)
        said = self._line(why or reply.reason_phrase or "no reason is given")
        status = reply.status_code
        if status in _TRANSIENT or status >= _SERVER_FAULT:
            wait = _wait(reply.headers.get("retry-after", ""))
            raise _Trouble(f"HTTP {status}: {said}", status, wait)
        raise Refused(status, said, field)

    @contextlib.asynccontextmanager
    async def _reply(
        self, method: str, path: str, body: dict[str, Any] | None
    ) -> AsyncIterator[httpx.Response]:
        url = f"{self._settings.url}{path}"
        async with self._http.stream(method, url, json=body) as reply:
            yield reply

    def _line(self, text: str) -> str:
        """What a server or a library says, as one short line, without the key."""
        hidden = text.replace(self._key, "(the key)") if self._key else text
        line = re.sub(r"[\s\x00-\x1f\x7f]+", " ", hidden).strip()
        return line if len(line) <= _LONGEST_SAID else f"{line[:_LONGEST_SAID]}..."


async def _body(reply: httpx.Response) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in reply.aiter_bytes():
        size += len(chunk)
        if size > _LONGEST_BODY:
            raise Refused(reply.status_code, f"the reply is over {_LONGEST_BODY} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def _said(body: bytes) -> tuple[str, str]:
    """An error's message and the field that it names, in any of the usual forms."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return body[: 4 * _LONGEST_SAID].decode("utf-8", "replace"), ""
    error = found.get("error", found) if isinstance(found, dict) else found
    if not isinstance(error, dict):
        return str(error), ""
    message = error.get("message") or error.get("detail") or error
    return str(message), str(error.get("param") or "")


def _wait(header: str) -> float:
    """Seconds that a Retry-After asks for; 0 for none, or one that cannot be read."""
    if re.fullmatch(r"\d{1,9}(\.\d+)?", header.strip()):
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _unavailable(trouble: _Trouble, tries: int) -> rpc.StatusError:
    wait = f", asks to wait {trouble.wait_seconds:.0f} s" if trouble.wait_seconds else ""
    times = "1 try" if tries == 1 else f"{tries} tries"
    return rpc.StatusError(
        grpc.StatusCode.UNAVAILABLE, f"the endpoint: {trouble.why}{wait} ({times})"
    )
