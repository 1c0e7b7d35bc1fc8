"""The index of a remote store: every version's manifest in one object, so that lists are fast.

Each change is a whole new object under the next number (`index/<kind>/<number>.json`), written
exclusively, and the last one counts: of two changes at once one is told to look again, and readers
see the list before or after, never between. The versions' own manifests stay the truth: what is
opened, proved or collected is looked up there. Where other tools have changed the store, `rebuild`
makes the index anew.
"""

from collections.abc import Callable, Mapping
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from services.common.models.errors import ModelNotFound, StoreUnreachable
from services.common.models.manifest import Kind

# A reader has this many changes' time to fetch what it saw in the listing.
_KEPT = 8
# Whenever a change has to look again, another one has been made.
_TRIES = 64
_DIGITS = 10

Manifests = Mapping[str, bytes]
"""Manifests as they were written, by version."""


class _Content(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    manifests: dict[str, str]


class Records(Protocol):
    """Small records of a store; see Backend."""

    def create(self, name: str, content: bytes) -> bool:
        """Write one, unless there is one of this name; whether it was written."""
        ...

    def read(self, name: str) -> bytes:
        """One record; ModelNotFound where there is none."""
        ...

    def names(self, folder: str) -> list[str]:
        """Names in a folder, sorted."""
        ...

    def erase(self, name: str) -> None:
        """Delete one, if it is there."""
        ...


class Index:
    """The index of one kind. Errors: StoreUnreachable."""

    def __init__(self, records: Records, kind: Kind, look: Callable[[], Manifests]) -> None:
        """Keep an index among the records of a store.

        Args:
            records: of the store.
            kind: of the versions.
            look: finds all manifests without an index, which takes long.
        """
        self._records = records
        self._folder = f"index/{kind}"
        self._look = look

    def read(self) -> Manifests | None:
        """All manifests, in two requests; None where there is no index, or none that is whole."""
        return self._last()[1]

    def put(self, version: str, manifest: bytes) -> None:
        """Add a version, or take its new manifest."""
        self._change(lambda held: {**self._known(held), version: manifest})

    def drop(self, version: str) -> None:
        """Take a version out, if there is an index."""

        def without(held: Manifests | None) -> Manifests:
            known = self._known(held)
            return {name: known[name] for name in known if name != version}

        if self._last()[0]:
            self._change(without)

    def rebuild(self) -> None:
        """Make it anew from what is found."""
        # What is changed after the number was read makes the exclusive write fail.
        self._change(lambda _: self._look())

    def _known(self, held: Manifests | None) -> Manifests:
        return self._look() if held is None else held

    def _change(self, change: Callable[[Manifests | None], Manifests]) -> None:
        for _ in range(_TRIES):
            number, held = self._last()
            changed = change(held)
            if changed == held or self._write(number + 1, changed):
                return
        raise StoreUnreachable(f"{self._folder}: others change it without end; reindex later")

    def _write(self, number: int, manifests: Manifests) -> bool:
        texts = {name: manifests[name].decode() for name in sorted(manifests)}
        content = _Content(manifests=texts).model_dump_json().encode()
        if not self._records.create(self._name(number), content):
            return False
        for old in self._numbers():
            if old <= number - _KEPT:
                self._records.erase(self._name(old))
        return True

    def _last(self) -> tuple[int, Manifests | None]:
        """The last number, 0 for none, and what it holds."""
        for _ in range(_TRIES):
            numbers = self._numbers()
            if not numbers:
                return 0, None
            try:
                content = _Content.model_validate_json(self._records.read(self._name(numbers[-1])))
            except ModelNotFound:
                continue  # overtaken by many changes since it was listed
            except ValidationError:
                return numbers[-1], None
            texts = content.manifests
            return numbers[-1], {name: text.encode() for name, text in texts.items()}
        raise StoreUnreachable(f"{self._folder}: others change it without end; look again later")

    def _numbers(self) -> list[int]:
        stems = (name.removesuffix(".json") for name in self._records.names(self._folder))
        return sorted(int(stem) for stem in stems if stem.isdecimal())

    def _name(self, number: int) -> str:
        return f"{self._folder}/{number:0{_DIGITS}}.json"
