"""API keys, for callers with the scope `admin`."""

import time
from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from services.search.access.keys import ApiKey, Limits, Scope, mint
from services.search.front import Front
from services.search.options import whole
from services.search.rest import docs
from services.search.rest.access import caller_of
from services.search.rest.problems import UnknownKey

_MAX_EXPIRY_SECONDS = 10 * 366 * 86_400.0

KeyId = Annotated[str, Path(pattern="^[0-9a-f]{16}$", description="Its id.")]
Count = Annotated[int, Field(strict=True, ge=0, le=1_000_000), BeforeValidator(whole)]


class KeyRequest(BaseModel):
    """An API key to be made."""

    model_config = ConfigDict(
        extra="forbid",
        allow_inf_nan=False,
        json_schema_extra={"examples": [{"name": "evaluation", "requests_per_minute": 120}]},
    )

    name: str = Field(
        min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$", description="What it is for."
    )
    scopes: list[Scope] = Field(
        [Scope.SOLVE], min_length=1, max_length=2, description="What it allows."
    )
    requests_per_minute: Count | None = Field(
        None, description="Its rate and largest burst; 0: no limit; by default the service's."
    )
    searches: Count | None = Field(
        None, description="Its searches at once; 0: no limit; by default the service's."
    )
    expires_in_seconds: (
        Annotated[float, Field(strict=True, gt=0, le=_MAX_EXPIRY_SECONDS)] | None
    ) = Field(None, description="When it ends; never by default.")


class KeyView(BaseModel):
    """What is shown of a key. Times are unix seconds; limits of 0 are none."""

    id: str
    name: str
    scopes: list[Scope]
    requests_per_minute: int
    searches: int
    created: float
    expires: float | None
    last_used: float | None = Field(description="To the minute; null for never.")

    @classmethod
    def of(cls, key: ApiKey) -> "KeyView":
        """The view of a key."""
        return cls(
            id=key.id,
            name=key.name,
            scopes=sorted(key.scopes),
            requests_per_minute=key.limits.requests_per_minute,
            searches=key.limits.searches,
            created=key.created,
            expires=key.expires,
            last_used=key.last_used,
        )


class NewKey(KeyView):
    """A key that was made."""

    key: str = Field(description="The key itself: it is shown this once and kept nowhere.")


class KeyList(BaseModel):
    """All keys, the oldest first."""

    keys: list[KeyView]


def router(front: Front, defaults: Limits) -> APIRouter:
    """The operations over a front; `defaults` are the limits of a key that asks for none."""
    routes = APIRouter(prefix="/keys", tags=["keys"])
    store = front.guard.keys

    @routes.post(
        "",
        status_code=201,
        response_model=NewKey,
        responses=docs.problems(400, 403, 413, 415, 422) | docs.example(201, docs.NEW_KEY),
        summary="Make an API key",
        operation_id="createKey",
    )
    async def create(body: KeyRequest, request: Request) -> Response:
        """Needs the scope `admin`, as all operations on keys do."""
        caller_of(request).require(Scope.ADMIN)
        key_id, secret = mint()
        now = time.time()
        rate, searches = body.requests_per_minute, body.searches
        key = ApiKey(
            id=key_id,
            name=body.name,
            scopes=frozenset(body.scopes),
            limits=Limits(
                defaults.requests_per_minute if rate is None else rate,
                defaults.searches if searches is None else searches,
            ),
            created=now,
            expires=now + body.expires_in_seconds if body.expires_in_seconds else None,
        )
        await store.add(key, secret)
        view = NewKey(**KeyView.of(key).model_dump(), key=secret)
        headers = {"Cache-Control": "no-store", "Location": f"/keys/{key_id}"}
        return JSONResponse(view.model_dump(mode="json"), status_code=201, headers=headers)

    @routes.get(
        "",
        response_model=KeyList,
        responses=docs.problems(403),
        summary="List API keys",
        operation_id="listKeys",
    )
    async def show(request: Request) -> KeyList:
        caller_of(request).require(Scope.ADMIN)
        return KeyList(keys=[KeyView.of(key) for key in await store.all()])

    @routes.get(
        "/{key_id}",
        response_model=KeyView,
        responses=docs.problems(403, 404, 422),
        summary="Look at an API key",
        operation_id="getKey",
    )
    async def get(key_id: KeyId, request: Request) -> KeyView:
        caller_of(request).require(Scope.ADMIN)
        if (key := await store.get(key_id)) is None:
            raise UnknownKey(key_id)
        return KeyView.of(key)

    @routes.delete(
        "/{key_id}",
        status_code=204,
        responses=docs.problems(403, 404, 422),
        summary="Revoke an API key",
        operation_id="revokeKey",
    )
    async def revoke(key_id: KeyId, request: Request) -> Response:
        """It is refused from this moment on; searches that it began run on."""
        caller_of(request).require(Scope.ADMIN)
        if not await store.remove(key_id):
            raise UnknownKey(key_id)
        return Response(status_code=204)

    return routes
