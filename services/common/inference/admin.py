"""The admin's request for a version at once: who may ask, and how the outcome becomes a status."""

import asyncio
import hmac
from typing import Generic

import grpc
from pydantic import SecretStr

from services.common import rpc
from services.common.inference.engine import EngineError
from services.common.inference.host import Host, Loaded
from services.common.inference.serving import Model
from services.common.models.errors import ModelError, ModelNotFound, StoreUnreachable

_SCHEME = "Bearer "


class Admin(Generic[Model]):
    """Loads versions for callers who hold the admin token."""

    def __init__(self, host: Host[Model], token: SecretStr) -> None:
        self._host = host
        self._token = token.get_secret_value().encode()
        self._loads: set[asyncio.Task[Loaded]] = set()

    async def load(self, name: str, context: rpc.Context) -> Loaded:
        """Serve a version, or what an alias points to.

        A caller who leaves leaves the load to its end: half an exchange helps nobody.

        Raises:
            rpc.StatusError: PERMISSION_DENIED, INVALID_ARGUMENT, NOT_FOUND, UNAVAILABLE, or
                FAILED_PRECONDITION where the version is refused.
        """
        self._check(context)
        if not name:
            raise rpc.InvalidField("model", "must be a version or an alias")
        task = asyncio.create_task(self._load(name), name=f"load-{name}")
        self._loads.add(task)
        task.add_done_callback(self._loads.discard)
        try:
            return await asyncio.shield(task)
        except ModelNotFound as error:
            raise rpc.StatusError(grpc.StatusCode.NOT_FOUND, str(error)) from error
        except StoreUnreachable as error:
            raise rpc.StatusError(grpc.StatusCode.UNAVAILABLE, str(error)) from error
        except (ModelError, EngineError) as error:
            raise rpc.StatusError(grpc.StatusCode.FAILED_PRECONDITION, str(error)) from error

    async def _load(self, name: str) -> Loaded:
        failing = self._host.meters.failing
        try:
            version = await asyncio.to_thread(self._host.store.resolve, self._host.kind, name)
            loaded = await self._host.load(version)
        except ModelNotFound:
            raise  # a slip of the pen, which the caller is told of
        except (ModelError, EngineError):
            failing.set("admin", failing=True)
            raise
        # Says nothing of what the alias points to.
        failing.set("admin", failing=False)
        return loaded

    def _check(self, context: rpc.Context) -> None:
        shown = dict(context.invocation_metadata() or ()).get("authorization", "")
        text = shown.decode("latin-1") if isinstance(shown, bytes) else str(shown)
        given = text.removeprefix(_SCHEME).encode() if text.startswith(_SCHEME) else b""
        if not self._token or not hmac.compare_digest(given, self._token):
            raise rpc.StatusError(
                grpc.StatusCode.PERMISSION_DENIED, "Load is for admins: show the admin token"
            )
