"""gRPC plumbing: channels, servers with health and reflection, errors, clean stops."""

import asyncio
import functools
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.common import bearer, logs, tracing
from services.common.decoding import Decoding
from services.common.tls import ClientTls, ServerTls

MAX_MESSAGE_BYTES = 32 * 1024 * 1024
_TRACE_KEY = "x-trace-id"

Context = grpc.aio.ServicerContext[Any, Any]
Servicer = TypeVar("Servicer")
Request = TypeVar("Request")
Response = TypeVar("Response")

log = logs.get(__name__)


class StatusError(Exception):
    """An RPC's failure: becomes its status code and details."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(details)
        self.code = code
        self.details = details


class InvalidField(StatusError):  # noqa: N818 - names the request's fault, not ours
    """A field that breaks its limit; the details name both."""

    def __init__(self, name: str, limit: str) -> None:
        super().__init__(grpc.StatusCode.INVALID_ARGUMENT, f"{name}: {limit}")
        self.name = name
        self.limit = limit


class AddressInUse(RuntimeError):  # noqa: N818
    """The address that a server was asked to listen on is taken."""


_CHANNEL_OPTIONS: list[tuple[str, int | str]] = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.lb_policy_name", "round_robin"),
    # Despite its name: how long a server may take to greet a connection at least.
    ("grpc.min_reconnect_backoff_ms", 5000),
    # A dependency that was restarted is found again within a second or two.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
]


def channel(
    target: str, tls: ClientTls | None = None, authority: str = "", *, key: str | None = None
) -> grpc.aio.Channel:
    """A channel to `host:port` (or any gRPC target), balanced over its addresses.

    In the clear without `tls`; tls.TlsError where its files cannot be read. `authority` is the name
    that the server is called and must prove, where the target is one of its addresses. `key` is an
    API key to show with every call.
    """
    options = list(_CHANNEL_OPTIONS)
    if authority:
        host = authority.rpartition(":")[0].strip("[]")
        options += [("grpc.default_authority", authority), ("grpc.ssl_target_name_override", host)]
    interceptors = [*tracing.client_interceptors(), *bearer.interceptors(key)]
    if tls is None:
        return grpc.aio.insecure_channel(target, options=options, interceptors=interceptors)
    return grpc.aio.secure_channel(
        target, tls.credentials(), options=options, interceptors=interceptors
    )


async def _abort(context: Context, error: Exception, method: str) -> None:
    """End a call with its status; where it is traced, `x-trace-id` is in the trailing metadata."""
    if trace := tracing.trace_id():
        context.set_trailing_metadata((*(context.trailing_metadata() or ()), (_TRACE_KEY, trace)))
    if isinstance(error, StatusError):
        await context.abort(error.code, error.details)
    log.error("rpc failed", method=method, exc_info=error)
    details = f"internal error in {method}: {type(error).__name__}"
    await context.abort(grpc.StatusCode.INTERNAL, details)


def unary(
    method: Callable[[Servicer, Request, Context], Awaitable[Response]],
) -> Callable[[Servicer, Request, Context], Awaitable[Response]]:
    """Turn a unary method's StatusError into its status, any other exception into INTERNAL."""

    @functools.wraps(method)
    async def wrapped(self: Servicer, request: Request, context: Context) -> Response:
        try:
            return await method(self, request, context)
        except grpc.aio.AbortError:
            raise
        except Exception as error:
            await _abort(context, error, method.__name__)
            raise

    return wrapped


def streaming(
    method: Callable[[Servicer, Request, Context], AsyncIterator[Response]],
) -> Callable[[Servicer, Request, Context], AsyncIterator[Response]]:
    """As `unary`, for a method that streams its responses."""

    @functools.wraps(method)
    async def wrapped(
        self: Servicer, request: Request, context: Context
    ) -> AsyncIterator[Response]:
        try:
            async for response in method(self, request, context):
                yield response
        except grpc.aio.AbortError:
            raise
        except Exception as error:
            await _abort(context, error, method.__name__)
            raise

    return wrapped


class Server:
    """A gRPC server with `grpc.health.v1` and reflection.

    Health answers for the whole process under "" and for each named service; all start as
    NOT_SERVING until `set_serving`.
    """

    def __init__(self, service_names: tuple[str, ...], *, max_concurrent_rpcs: int) -> None:
        self.grpc = grpc.aio.server(
            interceptors=[*tracing.server_interceptors(), Decoding()],
            options=[
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
                # Two servers on one port must be an error, not a lottery.
                ("grpc.so_reuseport", 0),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ],
            maximum_concurrent_rpcs=max_concurrent_rpcs,
        )
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined]  # the stubs lack it
        self._names = service_names
        self._serving = False
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.grpc)
        reflection.enable_server_reflection(
            (
                *service_names,
                health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,
                reflection.SERVICE_NAME,
            ),
            self.grpc,
        )

    @property
    def serving(self) -> bool:
        """Whether the process as a whole is healthy and not on its way out."""
        return self._serving

    async def set_serving(self, serving: bool, name: str = "") -> None:
        """Set the health of one service, or of the process as a whole (the empty name)."""
        if not name:
            self._serving = serving
        status = health_pb2.HealthCheckResponse.ServingStatus
        await self._health.set(name, status.SERVING if serving else status.NOT_SERVING)

    async def start(self, host: str, port: int, tls: ServerTls | None = None) -> int:
        """Listen, in the clear without `tls`; returns the port.

        AddressInUse where it is taken; tls.TlsError where the files cannot be read.
        """
        for name in ("", *self._names):
            await self.set_serving(False, name)
        address = f"{host}:{port}"
        credentials = tls.credentials() if tls else None
        try:
            if credentials is None:
                bound = self.grpc.add_insecure_port(address)
            else:
                bound = self.grpc.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise AddressInUse(f"cannot listen on {address}: {error}") from error
        await self.grpc.start()
        return bound

    async def stop(self, drain_seconds: float) -> None:
        """Refuse new calls, give those in flight `drain_seconds`, then cancel them."""
        self._serving = False
        await self._health.enter_graceful_shutdown()
        await self.grpc.stop(drain_seconds)


async def wait_for_stop_signal() -> str:
    """Return the name of the first SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[str] = loop.create_future()

    def stop(number: signal.Signals) -> None:
        if not stopped.done():
            stopped.set_result(number.name)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    return await stopped
