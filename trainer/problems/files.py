"""Files of problems: JSON lines, JSON and parquet."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from trainer.problems.problem import BadProblems, Problem, parse_problem

Row = tuple[str, Mapping[str, Any]]
"""Where a row stands, for errors, and its fields."""


def read_problems(path: Path, limit: int | None = None, *, answered: bool = True) -> list[Problem]:
    """The first `limit` problems of a file, in its order.

    One without an id is named by its row. BadProblems where the file cannot be read, has a row that
    is no problem, or has none of the answers that must be there if `answered`, uses an id twice, or
    holds nothing.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise BadProblems(f"{path}: one of {', '.join(_READERS)} is wanted")
    return collect(reader(path), str(path), limit, answered=answered)


def collect(
    rows: Iterable[Row], source: str, limit: int | None, *, answered: bool = True
) -> list[Problem]:
    """The problems of rows, at most `limit`; BadProblems as `read_problems` says."""
    problems: dict[str, Problem] = {}
    for number, (place, fields) in enumerate(rows, 1):
        if limit is not None and len(problems) >= limit:
            break
        problem = parse_problem(fields, number, place, answered=answered)
        if problem.id in problems:
            raise BadProblems(f"{place}, id: {problem.id!r} is used twice")
        problems[problem.id] = problem
    if not problems:
        raise BadProblems(f"{source}: no problems in it")
    return list(problems.values())


def _json_lines(path: Path) -> Iterator[Row]:
    for number, line in enumerate(_read_text(path).split("\n"), 1):
        if line.strip():
            place = f"{path}, line {number}"
            yield place, _object(_parse(line, place), place)


def _json(path: Path) -> Iterator[Row]:
    """A list of objects, or an object with one such list in it (`{"data": [...]}`)."""
    data = _parse(_read_text(path), str(path))
    if isinstance(data, dict):
        lists = [value for value in data.values() if isinstance(value, list)]
        if len(lists) != 1:
            raise BadProblems(f"{path}: neither a list nor an object with one list in it")
        data = lists[0]
    if not isinstance(data, list):
        raise BadProblems(f"{path}: not a list of problems")
    for number, row in enumerate(data, 1):
        place = f"{path}, item {number}"
        yield place, _object(row, place)


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches():
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}, row {number}", row
    except (OSError, pyarrow.ArrowException) as error:
        raise BadProblems(f"{path}: {error}") from error


_READERS: Mapping[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": _json_lines,
    ".json": _json,
    ".parquet": _parquet,
}
SUFFIXES = tuple(_READERS)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadProblems(f"{path}: {error}") from error


def _parse(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise BadProblems(f"{place}: not JSON: {error}") from error


def _object(row: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(row, dict):
        raise BadProblems(f"{place}: not a JSON object")
    return row
