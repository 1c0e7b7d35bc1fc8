"""Aliases of a store: names that move from version to version, with their history.

Every move is a record of its own, `aliases/<kind>/<alias>/<number>.json`, written by an exclusive
write under the next free number: the last record is where the alias points. So a move is atomic on
every backend, two movers at once cannot both win, and history cannot be rewritten. `previous` is
derived: where `production` pointed before.
"""

from datetime import UTC, datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from services.common.models.backend import Backend
from services.common.models.errors import AliasMoved, ModelDamaged, ModelError, ModelNotFound
from services.common.models.manifest import VERSION_PATTERN, Kind, explain, is_version

PRODUCTION = "production"
CANDIDATE = "candidate"
PREVIOUS = "previous"
RESERVED = frozenset({PRODUCTION, CANDIDATE, PREVIOUS})
_DIGITS = 10


class Move(BaseModel):
    """One move of an alias.

    Attributes:
        before: where it pointed; None at its first move.
        version: where it points from then on.
        by: who moved it.
        at: when.
        forced: whether a gate was passed over.
        reason: why, or what the gate found.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    before: str | None = Field(None, pattern=VERSION_PATTERN)
    version: str = Field(pattern=VERSION_PATTERN)
    by: str = Field(min_length=1, max_length=200)
    at: AwareDatetime
    forced: bool = False
    reason: str = Field("", max_length=2000)


class Aliases:
    """The aliases of one store. Errors: ModelError and its kin."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def of(self, kind: Kind) -> dict[str, str]:
        """Where each alias points, `previous` among them."""
        names = self._backend.names(f"aliases/{kind}")
        found = {name: target for name in names if (target := self.target(kind, name))}
        if (before := self.target(kind, PREVIOUS)) is not None:
            found[PREVIOUS] = before
        return found

    def target(self, kind: Kind, alias: str) -> str | None:
        """The version that an alias points to; None for no such alias."""
        if alias == PREVIOUS:
            last = self._last(kind, PRODUCTION)
            return last[1].before if last else None
        last = self._last(kind, alias)
        return last[1].version if last else None

    def history(self, kind: Kind, alias: str) -> list[Move]:
        """All moves, the first one first; that of `previous` is production's."""
        name = PRODUCTION if alias == PREVIOUS else alias
        return [self._read(kind, name, number) for number in self._numbers(kind, name)]

    def move(
        self,
        kind: Kind,
        alias: str,
        version: str,
        *,
        by: str,
        expect: str | None,
        reason: str = "",
        forced: bool = False,
    ) -> Move:
        """Point an alias to a version that is there (the caller has looked).

        Args:
            kind: of the version.
            alias: a name as of versions; not `previous`, which follows production.
            version: the new target.
            by: who does it.
            expect: where the mover believes it to point; None for a new alias.
            reason, forced: see Move.

        Raises:
            AliasMoved: it points elsewhere, or somebody moved it at this very moment.
            ModelError: the name cannot be an alias'.
        """
        if alias == PREVIOUS or not is_version(alias):
            raise ModelError(
                f"alias {alias!r}: `previous` follows production by itself"
                if alias == PREVIOUS
                else f"alias {alias!r}: must be named as versions are"
            )
        last = self._last(kind, alias)
        number, before = (last[0] + 1, last[1].version) if last else (1, None)
        if before != expect:
            raise AliasMoved(f"{kind} alias {alias!r} points to {before!r}, not to {expect!r}")
        at = datetime.now(UTC).replace(microsecond=0)
        try:
            made = Move(before=before, version=version, by=by, at=at, forced=forced, reason=reason)
        except ValidationError as error:
            raise ModelError(f"{kind} alias {alias!r}: {explain(error)}") from None
        content = made.model_dump_json(indent=2).encode() + b"\n"
        if not self._backend.create(_record(kind, alias, number), content):
            raise AliasMoved(f"{kind} alias {alias!r} was moved by somebody else; look again")
        return made

    def _last(self, kind: Kind, alias: str) -> tuple[int, Move] | None:
        numbers = self._numbers(kind, alias)
        return (numbers[-1], self._read(kind, alias, numbers[-1])) if numbers else None

    def _numbers(self, kind: Kind, alias: str) -> list[int]:
        names = self._backend.names(f"aliases/{kind}/{alias}")
        stems = (name.removesuffix(".json") for name in names if name.endswith(".json"))
        return sorted(int(stem) for stem in stems if stem.isdecimal())

    def _read(self, kind: Kind, alias: str, number: int) -> Move:
        name = _record(kind, alias, number)
        try:
            return Move.model_validate_json(self._backend.read(name))
        except ValidationError as error:
            raise ModelDamaged(f"{name}: {explain(error)} (in {self._backend.location})") from None
        except ModelNotFound as error:
            raise ModelDamaged(str(error)) from None


def _record(kind: Kind, alias: str, number: int) -> str:
    return f"aliases/{kind}/{alias}/{number:0{_DIGITS}}.json"
