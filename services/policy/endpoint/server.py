"""The process: wait until the endpoint answers, open to callers, and follow its health."""

import asyncio
from typing import Any, Final

from services.common import logs, rpc
from services.common.inference import model_server
from services.common.inference.engine import EngineError
from services.common.inference.meters import exposed
from services.common.pb.policy.v1 import policy_pb2_grpc as pb_grpc
from services.policy.endpoint.client import Client, Refused
from services.policy.endpoint.drawing import Drawer
from services.policy.endpoint.servicer import NAME, EndpointServicer, version_of
from services.policy.endpoint.settings import EndpointSettings

SPARE_RPCS: Final = 64
"""Room for calls that are refused or only ask for Info or health."""

_CONTEXT_TOKENS: Final = 32_768
_START_POLL_SECONDS: Final = 1.0
# In a row: requests have retries of their own for what passes.
_MISSES: Final = 2

log = logs.get(__name__)


async def serve(settings: EndpointSettings, key: str) -> int:
    """Serve until a signal; returns the process's exit code."""
    server = rpc.Server((NAME,), max_concurrent_rpcs=settings.max_in_flight + SPARE_RPCS)
    client = Client(settings, key)
    servicer = EndpointServicer(settings, Drawer(client, settings))
    pb_grpc.add_PolicyServiceServicer_to_server(servicer, server.grpc)

    async def load() -> Watch:
        servicer.open(await reach(client, settings))
        watch = Watch(client, server, settings.probe_seconds)
        await watch.set_health(healthy=True)
        log.info("serving", model=version_of(settings.model))
        return watch

    try:
        with exposed(settings.host, settings.metrics_port, lambda: server.serving):
            return await model_server.run(server, settings, load)
    finally:
        await client.close()


async def reach(client: Client, settings: EndpointSettings) -> int:
    """Wait for the endpoint's first answer; its longest prompt and continuation, in tokens.

    Raises:
        EngineError: it refuses us, or has not answered within `start_seconds`.
    """
    why = "no answer"
    try:
        async with asyncio.timeout(settings.start_seconds):
            while True:
                try:
                    return _context_tokens(await client.models(), settings)
                except rpc.StatusError as error:
                    why = error.details
                await asyncio.sleep(_START_POLL_SECONDS)
    except Refused as refused:
        raise EngineError(f"the endpoint refuses: {refused}") from None
    except TimeoutError:
        raise EngineError(f"not reached within {settings.start_seconds:g} s: {why}") from None


def _context_tokens(listed: Any, settings: EndpointSettings) -> int:
    """As it is set, or as the server's list of models says (vLLM's does)."""
    models = listed.get("data") if isinstance(listed, dict) else None
    known = [one for one in models or [] if isinstance(one, dict)]
    own = [one for one in known if one.get("id") == settings.model]
    if known and not own:
        log.warning("the endpoint does not list the model", model=settings.model)
    said = own[0].get("max_model_len") if own else None
    return (
        settings.context_tokens
        or (said if isinstance(said, int) and said > 0 else 0)
        or (_CONTEXT_TOKENS)
    )


class Watch:
    """Keeps the health as the endpoint's is. Implements model_server.Mortal."""

    def __init__(self, client: Client, server: rpc.Server, probe_seconds: float) -> None:
        self._client, self._server, self._seconds = client, server, probe_seconds
        self._healthy = False
        self._missed = 0

    async def set_health(self, *, healthy: bool, why: str = "") -> None:
        """Tell callers, and the log where it is new."""
        if healthy == self._healthy:
            return
        self._healthy = healthy
        if not healthy:
            log.warning("the endpoint is not there", why=why)
        for name in ("", NAME):
            await self._server.set_serving(healthy, name)

    async def died(self) -> None:
        """Never: what is not there may come back."""
        while True:
            await asyncio.sleep(self._seconds)
            try:
                await self._client.models()
            except (Refused, rpc.StatusError) as error:
                self._missed += 1
                if self._missed >= _MISSES:
                    await self.set_health(healthy=False, why=str(error))
            else:
                self._missed = 0
                await self.set_health(healthy=True)

    async def stop(self) -> None:
        """Nothing is held."""
