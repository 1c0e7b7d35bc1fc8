"""What this service served last, kept across its death: where a restart begins."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from services.common import logs

log = logs.get(__name__)

# A version in whose loading the process has died this often is left alone until its alias moves.
MAX_DEATHS = 2


class _Memory(BaseModel):
    model_config = ConfigDict(extra="ignore")

    good: str | None = None
    begun: dict[str, int] = {}


class LastGood:
    """A small file. Losing it costs a restart its shortcut, never its correctness."""

    def __init__(self, folder: Path, *key: str) -> None:
        """Use a file in `folder` whose name follows from what is served where."""
        name = hashlib.sha256("\n".join(key).encode()).hexdigest()[:16]
        self._path = folder / f"{name}.json"
        self._memory = self._read()

    @property
    def good(self) -> str | None:
        """The version that was served last."""
        return self._memory.good

    def begin(self, version: str) -> None:
        """A version is about to be fetched, proved and loaded."""
        self._memory.begun[version] = self.deaths(version) + 1
        self._write()

    def deaths(self, version: str) -> int:
        """How often its loading was begun without an end, good or bad."""
        return self._memory.begun.get(version, 0)

    def end(self, version: str, *, good: bool) -> None:
        """It is served, or was refused in good order."""
        self._memory.begun.pop(version, None)
        if good:
            self._memory.good = version
        self._write()

    def order(self, wanted: Sequence[str]) -> list[str]:
        """What to try at a start: the first of `wanted` that is no suspect, then the last good one.

        A version in whose loading this service was killed is tried last: what worked before comes
        first, and serves while the other is tried again.
        """
        good = [self.good] if self.good else []
        suspects = [version for version in wanted if self.deaths(version)]
        first = [version for version in wanted[:1] if version not in suspects]
        rest = [version for version in wanted if version not in suspects]
        return list(dict.fromkeys([*first, *good, *rest, *suspects]))

    def _read(self) -> _Memory:
        try:
            return _Memory.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return _Memory()
        except (OSError, ValidationError) as error:
            log.warning("what was served last is unknown", file=str(self._path), reason=str(error))
            return _Memory()

    def _write(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._path.with_suffix(".new")
            temporary.write_text(json.dumps(self._memory.model_dump()), encoding="utf-8")
            temporary.replace(self._path)
        except OSError as error:
            log.warning("cannot keep what is served", file=str(self._path), reason=str(error))
