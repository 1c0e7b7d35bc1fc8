"""The events of a search's log and their encoding.

The log alone rebuilds the tree (`tree.Tree.replay`), and says what the search was asked, used and
answered. Decoding validates: a malformed entry or an unknown schema is refused by name.
"""

from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError

from services.search.schemas import Solution, SolveRequest
from services.search.tree import Expanded, TreeConfig

SCHEMA = 1


class LogError(ValueError):
    """An entry of a search's log that cannot be read."""


@dataclass(frozen=True, slots=True)
class Started:
    """A search was begun.

    Attributes:
        request: what was asked, defaults filled in.
        config: the shape of its tree.
        seed: seed of all sampling.
        ppm: version of the PPM that guides it; None in an unguided search.
        schema: version of this log's encoding.
    """

    request: SolveRequest
    config: TreeConfig
    seed: int
    ppm: str | None
    schema: int = SCHEMA


@dataclass(frozen=True, slots=True)
class TrialUsage:
    """What one trial spent: new policy tokens, PPM scores, sandbox runs."""

    policy_tokens: int = 0
    ppm_calls: int = 0
    sandbox_runs: int = 0


@dataclass(frozen=True, slots=True)
class TrialTold:
    """A trial was told to the tree.

    Attributes:
        expanded: what the tree is folded from.
        usage: what it spent.
        policy: versions of the policy that made its candidates.
    """

    expanded: Expanded
    usage: TrialUsage
    policy: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Finished:
    """A search has ended with this result."""

    solution: Solution


@dataclass(frozen=True, slots=True)
class Failed:
    """A search was ended by a fault: of a dependency, which it names, or "internal"."""

    cause: str
    detail: str


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
        raise LogError(f"unknown kind of event {kind!r}")
    try:
        event = _ADAPTERS[kind].validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise LogError(f"malformed {kind} event: {place}: {first['msg']}") from error
    if isinstance(event, Started) and event.schema != SCHEMA:
        raise LogError(f"log schema {event.schema} is not the {SCHEMA} that this version reads")
    return event
