"""Client interceptors that show an API key with every call of a channel."""

from typing import Any

import grpc


class _Bearer:
    def __init__(self, key: str) -> None:
        self._entry = ("authorization", f"Bearer {key}")

    async def _with_key(self, continuation: Any, details: Any, request: Any) -> Any:
        metadata = grpc.aio.Metadata(*(details.metadata or ()), self._entry)
        return await continuation(details._replace(metadata=metadata), request)


class _UnaryBearer(_Bearer, grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[type-arg]  # generic in the stubs alone
    async def intercept_unary_unary(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        return await self._with_key(continuation, client_call_details, request)


class _StreamBearer(_Bearer, grpc.aio.UnaryStreamClientInterceptor):  # type: ignore[type-arg]  # generic in the stubs alone
    async def intercept_unary_stream(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        return await self._with_key(continuation, client_call_details, request)


def interceptors(key: str | None) -> list[Any]:
    """Interceptors of a channel to a service that asks for keys; none without a key."""
    return [_UnaryBearer(key), _StreamBearer(key)] if key else []
