"""The folder of a harvest: what was asked, the problems, and the parts that came of them.

    run.json         settings, written last: a folder without it is no harvest
    problems.arrow   the problems, mapped into memory by every worker, never loaded
    staging/         parts that are not committed yet
    parts/           parts that are
    summary.json     what came of it, once all is done

An item is one search: problem p from seed s is item p * seeds + s.
"""

import hashlib
import json
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.common.pb.search.v1 import search_pb2 as pb
from trainer.evaluation.methods import Method
from trainer.problems.problem import Problem

RUN_FILE: Final = "run.json"
PROBLEMS_FILE: Final = "problems.arrow"
PARTS: Final = "parts"
STAGING: Final = "staging"


class BadRun(ValueError):  # noqa: N818 - says what is wrong
    """A folder that is no harvest, or another one than was asked for; the message says which."""


class HarvestSettings(BaseModel):
    """What all items of a harvest share.

    Attributes:
        name: of the harvest in Redis, like no other's.
        budget, options: of each search; see Budget and SearchOptions in search.proto.
        seed: from which the seeds of all searches are derived.
        seeds: searches of each problem.
        round: of self-evolution.
        terminal_guided: whether the search is told the right answer (equation 2 of the paper).
        problems: how many.
        problems_digest: hash of all problems in their order.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,200}$")
    budget: dict[str, int | float]
    options: dict[str, bool | int | float | str] = {}
    seed: int = Field(0, ge=0)
    seeds: int = Field(1, ge=1, le=1_000)
    round: int = Field(0, ge=0)
    terminal_guided: bool = False
    problems: int = Field(ge=1)
    problems_digest: str

    @property
    def items(self) -> int:
        """Searches."""
        return self.problems * self.seeds


@dataclass(frozen=True, slots=True)
class Item:
    """One search of a harvest.

    Attributes:
        number: names it within the harvest.
        problem: what is searched.
        seed: of all its sampling.
        request: what is asked of the search service.
    """

    number: int
    problem: Problem
    seed: int
    request: pb.SolveRequest


class HarvestFolder:
    """A harvest's folder, opened."""

    def __init__(self, path: Path) -> None:
        """BadRun where there is none."""
        self.path = path
        try:
            text = (path / RUN_FILE).read_text(encoding="utf-8")
            self.settings = HarvestSettings.model_validate_json(text)
        except (OSError, ValidationError) as error:
            raise BadRun(f"{path}: no harvest ({error})") from error
        self._problems = _map_problems(path / PROBLEMS_FILE)
        options = self.settings.options
        self._methods = [
            Method("search", self.settings.budget, options, self.settings.seed + index)
            for index in range(self.settings.seeds)
        ]

    @property
    def parts(self) -> Path:
        """Where committed parts are."""
        return self.path / PARTS

    @property
    def staging(self) -> Path:
        """Where parts are written."""
        return self.path / STAGING

    def item(self, number: int) -> Item:
        """One item; IndexError where there are fewer."""
        if not 0 <= number < self.settings.items:
            raise IndexError(f"item {number} of {self.settings.items}")
        index, seed_index = divmod(number, self.settings.seeds)
        problem = Problem(**self._problems.slice(index, 1).to_pylist()[0])
        method = self._methods[seed_index]
        request = method.request(problem.id, problem.question)
        # A worker that takes an item over from a dead one gets the search that is under way.
        request.idempotency_key = f"harvest/{self.settings.name}/{number}"
        if self.settings.terminal_guided:
            request.ground_truth = problem.answer
        return Item(number, problem, method.seed_of(problem.id), request)

    def level_of(self, number: int) -> str:
        """The level of an item's problem."""
        level: str = self._problems["level"][number // self.settings.seeds].as_py()
        return level


def create(path: Path, problems: Sequence[Problem], **settings: Any) -> HarvestFolder:
    """Begin a harvest in a folder, or open the same one again.

    Args:
        path: made where it is missing.
        problems: what is searched.
        settings: fields of HarvestSettings.

    Raises:
        BadRun: the folder holds another harvest, or a setting cannot be.
    """
    try:
        wanted = HarvestSettings(
            **{"name": uuid.uuid4().hex, **settings},
            problems=len(problems),
            problems_digest=problems_digest(problems),
        )
    except ValidationError as error:
        raise BadRun(str(error)) from error
    if (path / RUN_FILE).exists():
        folder = HarvestFolder(path)
        before, now = folder.settings.model_dump(), wanted.model_dump()
        compared = now if "name" in settings else now.keys() - {"name"}
        differing = sorted(n for n in compared if before[n] != now[n])
        if differing:
            raise BadRun(
                f"{path} holds a harvest with another {', '.join(differing)}; "
                "choose another --out, or remove it"
            )
        return folder
    for name in (PARTS, STAGING):
        (path / name).mkdir(parents=True, exist_ok=True)
    _write_problems(path / PROBLEMS_FILE, problems)
    text = wanted.model_dump_json(indent=2) + "\n"
    write_whole(path / RUN_FILE, text.encode())
    return HarvestFolder(path)


def problems_digest(problems: Sequence[Problem]) -> str:
    """A hash of problems in their order."""
    digest = hashlib.sha256()
    for one in problems:
        digest.update(json.dumps([one.id, one.question, one.answer, one.level]).encode())
    return digest.hexdigest()


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole and on the disk, or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Put the names in a folder on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_problems(path: Path, problems: Sequence[Problem]) -> None:
    import pyarrow
    from pyarrow import ipc

    names = ("id", "question", "answer", "level", "subject")
    table = pyarrow.table({name: [getattr(one, name) for one in problems] for name in names})
    sink = pyarrow.BufferOutputStream()
    with ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    write_whole(path, sink.getvalue().to_pybytes())


def _map_problems(path: Path) -> Any:
    import pyarrow
    from pyarrow import ipc

    try:
        return ipc.open_file(pyarrow.memory_map(str(path))).read_all()
    except (OSError, pyarrow.ArrowException) as error:
        raise BadRun(f"{path}: {error}") from error
