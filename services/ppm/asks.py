"""What a caller asks for, checked field by field before anything is computed."""

from dataclasses import dataclass

from services.common import rpc
from services.common.pb.ppm.v1 import ppm_pb2 as pb
from services.common.steps import Step
from services.ppm.settings import PpmSettings

MAX_STEP_BYTES = 65_536
MAX_OUTPUT_BYTES = 16_384
MAX_SEARCH_ID_CHARS = 64


@dataclass(frozen=True, slots=True)
class Ask:
    """A valid request for scores, or a part of one.

    Attributes:
        problem: the problem.
        solutions: what is to be scored.
        name: of the part, as a prefix of its fields; empty for the request itself.
    """

    problem: str
    solutions: tuple[tuple[Step, ...], ...]
    name: str = ""


def parse(request: pb.ScoreRequest, settings: PpmSettings) -> list[Ask]:
    """Check a request against the contract and this server's limits; raises InvalidField.

    Returns:
        What it asks for itself, then each of what goes with it.
    """
    asks = [_parse(request, "", settings)]
    for number, further in enumerate(request.more):
        name = f"more[{number}]."
        if further.more:
            raise rpc.InvalidField(f"{name}more", "what goes along may hold no more")
        if further.model_version not in ("", request.model_version):
            raise rpc.InvalidField(f"{name}model_version", "must be that of the whole call")
        asks.append(_parse(further, name, settings))
    together = sum(len(ask.solutions) for ask in asks)
    _within("solutions", together, 1, settings.max_batch, "partial solutions in all")
    return asks


def _parse(request: pb.ScoreRequest, name: str, settings: PpmSettings) -> Ask:
    _within(f"{name}search_id", len(request.search_id), 1, MAX_SEARCH_ID_CHARS, "characters")
    _within(f"{name}problem", len(request.problem), 1, settings.max_problem_chars, "characters")
    if not request.problem.strip():
        raise rpc.InvalidField(f"{name}problem", "is blank")
    _within(f"{name}solutions", len(request.solutions), 1, settings.max_batch, "partial solutions")
    solutions = tuple(
        _solution(solution, f"{name}solutions[{i}]", settings)
        for i, solution in enumerate(request.solutions)
    )
    return Ask(request.problem, solutions, name)


def _solution(solution: pb.PartialSolution, name: str, settings: PpmSettings) -> tuple[Step, ...]:
    _within(f"{name}.steps", len(solution.steps), 1, settings.max_steps, "steps")
    return tuple(_step(step, f"{name}.steps[{i}]") for i, step in enumerate(solution.steps))


def _step(step: pb.Step, name: str) -> Step:
    if not step.text.strip():
        raise rpc.InvalidField(f"{name}.text", "is blank")
    _within(f"{name}.text", len(step.text.encode()), 1, MAX_STEP_BYTES, "bytes")
    _within(f"{name}.output", len(step.output.encode()), 0, MAX_OUTPUT_BYTES, "bytes")
    return Step(step.text, step.ends_code, step.output)


def _within(name: str, value: int, low: int, high: int, unit: str) -> None:
    if not low <= value <= high:
        raise rpc.InvalidField(name, f"must be {low} to {high} {unit}, is {value}")
