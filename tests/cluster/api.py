"""The Kubernetes API as the tests and the kubelet use it: plain JSON over HTTPS."""

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Literal

import httpx

Object = dict[str, Any]
Changed = Callable[[Object | None, Object | None], None]
PatchKind = Literal["merge", "strategic-merge"]

_log = logging.getLogger(__name__)
_RETRY_SECONDS = 0.5
_WATCH_SECONDS = 300


class ApiError(Exception):
    """The API refused a request: status code and the API's own words."""

    def __init__(self, response: httpx.Response) -> None:
        """Of a response that is an error."""
        self.code = response.status_code
        super().__init__(f"{response.request.method} {response.request.url}: {response.text}")


class Api:
    """A client of one API server, for one bearer token."""

    def __init__(self, url: str, token: str, authority: Path) -> None:
        """Trust what the authority (PEM) has signed."""
        self._http = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"},
            verify=ssl.create_default_context(cafile=str(authority)),
            timeout=httpx.Timeout(30, pool=None),
            limits=httpx.Limits(max_connections=None),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def get(self, path: str) -> Object | None:
        """An object or a list; None where there is none."""
        response = await self._http.get(path)
        return None if response.status_code == 404 else _content(response)

    async def items(self, path: str, **query: str) -> list[Object]:
        """The objects of a collection."""
        found: list[Object] = (await self.collection(path, **query))["items"]
        return found

    async def create(self, path: str, content: Object) -> Object:
        """Make an object in a collection."""
        return _content(await self._http.post(path, json=content))

    async def patch(self, path: str, change: Object, kind: PatchKind = "merge") -> Object | None:
        """Change an object; None where it is gone."""
        headers = {"Content-Type": f"application/{kind}-patch+json"}
        response = await self._http.patch(path, content=json.dumps(change), headers=headers)
        return None if response.status_code == 404 else _content(response)

    async def delete(self, path: str, *, grace: int | None = None, uid: str = "") -> None:
        """Delete an object, or that of this uid; nothing where it is gone or another."""
        options: Object = {} if grace is None else {"gracePeriodSeconds": grace}
        if uid:
            options["preconditions"] = {"uid": uid}
        response = await self._http.request("DELETE", path, json=options)
        if response.status_code not in (404, 409):
            _content(response)

    async def watch(self, path: str, version: str, **query: str) -> AsyncIterator[Object]:
        """Events of a collection after a resource version, until the server ends the watch."""
        asked = {"watch": "1", "resourceVersion": version, "timeoutSeconds": str(_WATCH_SECONDS)}
        timeout = httpx.Timeout(30, read=_WATCH_SECONDS + 30, pool=None)
        async with self._http.stream("GET", path, params=asked | query, timeout=timeout) as stream:
            if stream.is_error:
                await stream.aread()
                raise ApiError(stream)
            async for line in stream.aiter_lines():
                yield json.loads(line)

    async def collection(self, path: str, **query: str) -> Object:
        """A collection with its resource version."""
        return _content(await self._http.get(path, params=query))


def _content(response: httpx.Response) -> Object:
    if response.is_error:
        raise ApiError(response)
    content: Object = response.json()
    return content


def key_of(thing: Object) -> str:
    """namespace/name of an object."""
    return f"{thing['metadata'].get('namespace', '')}/{thing['metadata']['name']}"


class Mirror:
    """A collection kept as it is on the server; tells of each change."""

    def __init__(self, api: Api, path: str, changed: Changed, **query: str) -> None:
        """Changes are told as (before, after), None for what is not there."""
        self.objects: dict[str, Object] = {}
        self._api, self._path, self._changed, self._query = api, path, changed, query

    async def run(self) -> None:
        """Follow the collection for ever."""
        while True:
            try:
                version = await self._fill()
                async for event in self._api.watch(self._path, version, **self._query):
                    if event["type"] == "ERROR":  # the version is too old: list again
                        break
                    self._apply(event["type"], event["object"])
            except (httpx.HTTPError, ApiError) as error:
                _log.warning("watch of %s: %s", self._path, error)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _fill(self) -> str:
        listed = await self._api.collection(self._path, **self._query)
        there = {key_of(one): one for one in listed["items"]}
        for key in self.objects.keys() - there.keys():
            self._changed(self.objects.pop(key), None)
        for one in there.values():
            self._apply("MODIFIED", one)
        version: str = listed["metadata"]["resourceVersion"]
        return version

    def _apply(self, kind: str, thing: Object) -> None:
        key = key_of(thing)
        before = self.objects.get(key)
        if kind == "DELETED":
            self.objects.pop(key, None)
            self._changed(before or thing, None)
        else:
            self.objects[key] = thing
            self._changed(before, thing)
