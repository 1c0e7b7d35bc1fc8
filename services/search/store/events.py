"""The events of a search's log and their encoding.

The log alone rebuilds the trees (`forest.Forest.replay`), and says what the search was asked, used
and answered. Decoding validates: a malformed entry or an unknown schema is refused by name.

Whatever changes what trees, requests or results are rebuilt from, a new field included, is a new
SCHEMA: a replica takes a search of another schema for one that is not its own to go on with. A new
field of an event itself that has a default and that nothing is folded from, is none: who does not
know it passes over it.
"""

import time
from dataclasses import dataclass, field

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from services.search.forest import ForestConfig
from services.search.schemas import Progress, Solution, SolveRequest
from services.search.tree import Expanded

SCHEMA = 2


class LogError(ValueError):
    """An entry of a search's log that cannot be read."""


class SchemaError(LogError):
    """A log that another version of this code has written."""


class _Version(BaseModel):
    number: int = Field(alias="schema")


@dataclass(frozen=True, slots=True)
class Started:
    """A search was begun.

    Attributes:
        request: what was asked, defaults filled in.
        config: the shape of its trees.
        seed: seed of all sampling.
        ppm: version of the PPM that guides it; None in an unguided search.
        policy: version of the policy that it draws from; empty for whichever is served.
        schema: version of this log's encoding.
        at: when, in unix seconds.
        traceparent: the span that it was begun in, for whoever takes it over; empty if untraced.
    """

    request: SolveRequest
    config: ForestConfig
    seed: int
    ppm: str | None
    policy: str = ""
    schema: int = SCHEMA
    at: float = field(default_factory=time.time)
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class TrialUsage:
    """What one trial spent: new policy tokens, PPM scores, sandbox runs.

    `cut_tokens` are those of candidates that were cut off, by estimate.
    """

    policy_tokens: int = 0
    ppm_calls: int = 0
    sandbox_runs: int = 0
    cut_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds that the search waited for one step, the wait for its turn included.

    Attributes:
        policy: until the policy had finished the candidate that the step came in.
        sandbox: until the step had run; 0 where it was not run.
        ppm: until the candidate's steps had their scores; 0 where the step was not scored.
    """

    policy: float = 0.0
    sandbox: float = 0.0
    ppm: float = 0.0


@dataclass(frozen=True, slots=True)
class TrialTold:
    """A trial was told to the tree.

    Attributes:
        expanded: what the trees are folded from.
        usage: what it spent.
        progress: how far the search is after it.
        policy: versions of the policy that made its candidates.
        ppm: versions of the PPM that scored them.
        at: when, in unix seconds.
        waits: what its steps took, by the ids of their nodes; those that an earlier trial had run
            have none. Empty in logs of earlier releases.
    """

    expanded: Expanded
    usage: TrialUsage
    progress: Progress
    policy: tuple[str, ...] = field(default=())
    ppm: tuple[str, ...] = field(default=())
    at: float = field(default_factory=time.time)
    waits: dict[str, Waits] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finished:
    """A search has ended with this result, at `at` (unix seconds)."""

    solution: Solution
    at: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True)
class Failed:
    """A search was ended by a fault, at `at` (unix seconds).

    Attributes:
        cause: the dependency that was down or too slow; "problem" where the problem does not fit
            the policy; "internal".
        detail: what went wrong.
        trace_id: of the trace of the search, 32 hexadecimal digits; empty where it is not traced.
    """

    cause: str
    detail: str
    at: float = field(default_factory=time.time)
    trace_id: str = ""


Event = Started | TrialTold | Finished | Failed

_KINDS: dict[str, type[Event]] = {
    "started": Started,
    "trial": TrialTold,
    "finished": Finished,
    "failed": Failed,
}
_NAMES = {event: name for name, event in _KINDS.items()}
_ADAPTERS: dict[str, TypeAdapter[Event]] = {
    name: TypeAdapter(event) for name, event in _KINDS.items()
}


def encode(event: Event) -> tuple[str, bytes]:
    """The kind of an event and its body as JSON."""
    kind = _NAMES[type(event)]
    return kind, _ADAPTERS[kind].dump_json(event)


def decode(kind: str, body: bytes) -> Event:
    """The event of a log entry; LogError where it cannot be read."""
    if kind not in _ADAPTERS:
        raise LogError(f"unknown kind of event {kind[:40]!r}")
    try:
        if kind == "started" and (schema := _Version.model_validate_json(body).number) != SCHEMA:
            raise SchemaError(f"log schema {schema} is not the {SCHEMA} that this version reads")
        return _ADAPTERS[kind].validate_json(body, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise LogError(f"malformed {kind} event: {place}: {first['msg']}") from error
