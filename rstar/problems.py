"""Problems from a file: one JSON object a line."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError


class BadProblems(ValueError):  # noqa: N818
    """A file that cannot be read as problems; names the line."""


class GivenProblem(BaseModel):
    """One line: a question, its name, and the right answer where it is known."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    id: str = ""
    question: str
    answer: str | None = None


def read_problems(path: Path) -> list[GivenProblem]:
    """The problems of a JSON-lines file; one without an id is named by its line.

    Raises:
        BadProblems: the file cannot be read, holds none, or has a line that is no problem.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadProblems(f"{path}: {error}") from error
    problems = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            problem = GivenProblem.model_validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"]))
            place = f"{path}, line {number}" + (f", {field}" if field else "")
            raise BadProblems(f"{place}: {first['msg']}") from error
        problems.append(problem.model_copy(update={"id": problem.id or str(number)}))
    if not problems:
        raise BadProblems(f"{path}: no problems in it")
    return problems
