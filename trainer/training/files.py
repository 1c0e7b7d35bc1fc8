"""Files of training data: JSON lines and parquet, one row an object."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from trainer.training.data import Row


class BadData(ValueError):  # noqa: N818 - names the fault in what was given
    """Training data that cannot be used; the message says where and why."""


AnyRow = TypeVar("AnyRow", bound=Row)


def write(path: Path, rows: Sequence[AnyRow]) -> None:
    """Write rows as JSON lines or parquet, by the suffix; the file appears whole.

    Raises:
        BadData: another suffix, or parquet of no rows, which would have no schema.
    """
    part = path.with_name(f".{path.name}.part")
    if path.suffix == ".jsonl":
        part.write_text("".join(f"{row.model_dump_json()}\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".parquet" and rows:
        import pyarrow
        from pyarrow import parquet

        table = pyarrow.Table.from_pylist([row.model_dump(mode="json") for row in rows])
        parquet.write_table(table, part, compression="zstd")
    else:
        raise BadData(f"{path}: .jsonl, or .parquet with rows, is wanted")
    part.replace(path)


def read(path: Path, row: type[AnyRow]) -> list[AnyRow]:
    """The rows of a file.

    Raises:
        BadData: it cannot be read, holds something else, or nothing.
    """
    if path.suffix not in (".jsonl", ".parquet"):
        raise BadData(f"{path}: .jsonl or .parquet is wanted")
    try:
        rows = _lines(path, row) if path.suffix == ".jsonl" else _table(path, row)
    except OSError as error:
        raise BadData(f"{path}: {error}") from error
    if not rows:
        raise BadData(f"{path}: no rows in it")
    return rows


def _lines(path: Path, row: type[AnyRow]) -> list[AnyRow]:
    rows = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    rows.append(row.model_validate_json(line))
                except ValidationError as error:
                    raise BadData(f"{path}, line {number}: {_explain(error)}") from error
    return rows


def _table(path: Path, row: type[AnyRow]) -> list[AnyRow]:
    import pyarrow
    from pyarrow import parquet

    try:
        found = parquet.read_table(path).to_pylist()
    except pyarrow.ArrowException as error:
        raise BadData(f"{path}: {error}") from error
    rows = []
    for number, fields in enumerate(found, 1):
        try:
            rows.append(row.model_validate(fields))
        except ValidationError as error:
            raise BadData(f"{path}, row {number}: {_explain(error)}") from error
    return rows


def _explain(error: ValidationError) -> str:
    fault = error.errors()[0]
    return f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
