"""What a caller asks for, checked field by field before anything is computed."""

import math
from dataclasses import dataclass

from services.common import rpc
from services.common.pb.policy.v1 import policy_pb2 as pb
from services.common.steps import DELIMITERS, Step
from services.policy.limits import Limits

MAX_STEP_BYTES = 65_536
MAX_OUTPUT_BYTES = 16_384
MAX_SEARCH_ID_CHARS = 64
MAX_TEMPERATURE = 2.0
SEEDS = 2**64


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to sample; the fields are those of the message of the same name.

    Attributes:
        top_p: above 0 to 1; 1 is off.
        max_steps: 0 for no limit.
    """

    temperature: float
    top_p: float
    max_tokens: int
    seed: int
    max_steps: int

    def seed_of(self, index: int) -> int:
        """The seed of candidate `index`."""
        return (self.seed + index) % SEEDS


@dataclass(frozen=True, slots=True)
class Ask:
    """A valid request for candidates."""

    problem: str
    steps: tuple[Step, ...]
    count: int
    sampling: Sampling


def parse(request: pb.ProposeRequest, limits: Limits, context_tokens: int) -> Ask:
    """Check a request against the contract and a server's limits; raises InvalidField."""
    _within("search_id", len(request.search_id), 1, MAX_SEARCH_ID_CHARS, "characters")
    _within("problem", len(request.problem), 1, limits.max_problem_chars, "characters")
    if not request.problem.strip():
        raise rpc.InvalidField("problem", "is blank")
    _within("steps", len(request.steps), 0, limits.max_steps, "steps")
    _within("count", request.count, 1, limits.max_count)
    return Ask(
        problem=request.problem,
        steps=tuple(_step(step, f"steps[{i}]") for i, step in enumerate(request.steps)),
        count=request.count,
        sampling=_sampling(request.sampling, limits, context_tokens),
    )


def _sampling(sampling: pb.Sampling, limits: Limits, context_tokens: int) -> Sampling:
    _finite("sampling.temperature", sampling.temperature, MAX_TEMPERATURE)
    _finite("sampling.top_p", sampling.top_p, 1.0)
    _within("sampling.max_tokens", sampling.max_tokens, 1, context_tokens)
    _within("sampling.max_steps", sampling.max_steps, 0, limits.max_steps)
    return Sampling(
        temperature=sampling.temperature,
        top_p=sampling.top_p or 1.0,
        max_tokens=sampling.max_tokens,
        seed=sampling.seed,
        max_steps=sampling.max_steps,
    )


def _step(step: pb.Step, name: str) -> Step:
    if not step.text.strip():
        raise rpc.InvalidField(f"{name}.text", "is blank")
    _within(f"{name}.text", len(step.text.encode()), 1, MAX_STEP_BYTES, "bytes")
    _within(f"{name}.output", len(step.output.encode()), 0, MAX_OUTPUT_BYTES, "bytes")
    for delimiter in DELIMITERS:
        if delimiter in step.text:
            raise rpc.InvalidField(f"{name}.text", f"holds the delimiter {delimiter}")
    return Step(step.text, step.ends_code, step.output)


def _within(name: str, value: int, low: int, high: int, unit: str = "") -> None:
    if not low <= value <= high:
        raise rpc.InvalidField(name, f"must be {low} to {high} {unit}".rstrip() + f", is {value}")


def _finite(name: str, value: float, high: float) -> None:
    if not (math.isfinite(value) and 0 <= value <= high):
        raise rpc.InvalidField(name, f"must be 0 to {high:g}, is {value}")
