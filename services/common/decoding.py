"""A server interceptor: bytes that are no message of their RPC become INVALID_ARGUMENT."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError


class _Malformed:
    """What stands in for a request that could not be read."""


class Decoding(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in the stubs alone
    """Answers malformed requests of RPCs with one request, which gRPC itself calls UNKNOWN.

    The last of a server's interceptors, so that it sees the methods themselves.
    """

    def __init__(self) -> None:
        self._handlers: dict[str, Any] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """The RPC's handler, reading with care."""
        method = str(handler_call_details.method)
        if method in self._handlers:
            return self._handlers[method]
        handler = _careful(await continuation(handler_call_details))
        if handler is not None:
            self._handlers[method] = handler
        return handler


def _careful(handler: Any) -> Any:
    if handler is None or handler.request_streaming or handler.request_deserializer is None:
        return handler
    if inspect.iscoroutinefunction(handler.unary_unary):
        return grpc.unary_unary_rpc_method_handler(
            _careful_unary(handler.unary_unary),
            _careful_reader(handler.request_deserializer),
            handler.response_serializer,
        )
    if inspect.isasyncgenfunction(handler.unary_stream):
        return grpc.unary_stream_rpc_method_handler(
            _careful_stream(handler.unary_stream),
            _careful_reader(handler.request_deserializer),
            handler.response_serializer,
        )
    return handler


def _careful_reader(read: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def careful(data: bytes) -> Any:
        try:
            return read(data)
        except DecodeError:
            return _Malformed()

    return careful


def _careful_unary(method: Callable[[Any, Any], Awaitable[Any]]) -> Callable[[Any, Any], Any]:
    async def careful(request: Any, context: Any) -> Any:
        if isinstance(request, _Malformed):
            await _refuse(context)
        return await method(request, context)

    return careful


def _careful_stream(
    method: Callable[[Any, Any], AsyncIterator[Any]],
) -> Callable[[Any, Any], AsyncIterator[Any]]:
    async def careful(request: Any, context: Any) -> AsyncIterator[Any]:
        if isinstance(request, _Malformed):
            await _refuse(context)
        async for response in method(request, context):
            yield response

    return careful


async def _refuse(context: Any) -> None:
    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the request is no message of this RPC")
