"""What an evaluation asks of the search service: methods, budgets, options; pure."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from services.common.pb.search.v1 import search_pb2 as pb

MAX_CANDIDATES = 64
MAX_ROLLOUTS = 10_000
MAX_TOKENS = 10_000_000
DEFAULT_SECONDS = 600.0
DEFAULT_TOKENS = 1600
DEFAULT_SAMPLES = 16

_SAMPLED = re.compile(r"(majority|best_of_n)(?:@(\d+))?")
_BEAM = re.compile(r"beam(?:@(\d+))?")
INDEPENDENT = re.compile(r"best_of_n@(\d+)")
"""Methods that always draw so many independent solutions; a majority ends early once it is sure."""
_NAMES = ("greedy", "majority@K", "best_of_n@K", "beam@WIDTH", "mcts")


@dataclass(frozen=True, slots=True)
class _Range:
    """What search.proto allows for a number."""

    kind: type[int] | type[float]
    low: float
    high: float


# Limits of fields, as search.proto states them; None for a word.
_BUDGET: Mapping[str, _Range | None] = {
    "rollouts": _Range(int, 1, MAX_ROLLOUTS),
    "tokens": _Range(int, 1, MAX_TOKENS),
    "seconds": _Range(float, 0.001, 3600),
}
_OPTIONS: Mapping[str, _Range | None] = {
    "candidates": _Range(int, 1, MAX_CANDIDATES),
    "depth": _Range(int, 1, 64),
    "exploration": _Range(float, 0, 100),
    "temperature": _Range(float, 0, 2),
    "parallel": _Range(int, 1, 64),
    "trees": _Range(int, 1, 64),
    "confidence": _Range(float, 0.5, 0.999999),
    "answer": None,
    "expansion": None,
    "guided": None,
}
_WORDS: Mapping[str, Mapping[str, int]] = {
    "answer": {word.removeprefix("ANSWER_RULE_").lower(): n for word, n in pb.AnswerRule.items()},
    "expansion": {word.removeprefix("EXPANSION_").lower(): n for word, n in pb.Expansion.items()},
    "method": {word.removeprefix("METHOD_").lower(): n for word, n in pb.Method.items()},
    "guided": {"false": False, "true": True},
}
# Options that shape a tree mean nothing to a method that grows none.
_OF_SAMPLES = ("depth", "temperature", "parallel", "guided")


class BadMethod(ValueError):  # noqa: N818 - names the fault
    """A method, budget or option that cannot be asked for; the message names it."""


@dataclass(frozen=True, slots=True)
class Method:
    """One way to answer problems, settled in every field that it sends.

    Attributes:
        name: as reports call it: `greedy`, `majority@16`, `best_of_n@16`, `beam@8`, `mcts`.
        budget: rollouts, tokens and seconds that one problem may take.
        options: fields of SearchOptions; those that are absent are the server's defaults.
        seed: from which the seed of each problem is derived.
    """

    name: str
    budget: Mapping[str, int | float]
    options: Mapping[str, int | float | str] = field(default_factory=dict)
    seed: int = 0

    def settings(self) -> dict[str, Any]:
        """All that decides about an answer, as JSON."""
        return {
            "method": self.name,
            "budget": dict(self.budget),
            "search": dict(self.options),
            "seed": self.seed,
        }

    def seed_of(self, problem_id: str) -> int:
        """The seed of one problem: the same in whatever order problems are asked; below 2**53."""
        digest = hashlib.sha256(f"{self.seed}:{problem_id}".encode()).digest()
        return int.from_bytes(digest[:8], "big") >> 11

    def request(self, problem_id: str, question: str) -> pb.SolveRequest:
        """The request that asks for one problem."""
        options = {
            name: _WORDS[name][str(value).lower()] if name in _WORDS else value
            for name, value in self.options.items()
        }
        return pb.SolveRequest(
            problem=question,
            budget=pb.Budget(**self.budget),  # type: ignore[arg-type]  # typed by _BUDGET
            search=pb.SearchOptions(
                seed=self.seed_of(problem_id),
                # Never a mixture: a run whose versions go is tried again, not averaged.
                versions=pb.VERSIONS_PINNED,
                **options,  # type: ignore[arg-type]  # typed by _OPTIONS
            ),
        )


def parse_methods(
    names: Iterable[str], budget: Iterable[str], options: Iterable[str], seed: int
) -> list[Method]:
    """The methods that command-line words ask for.

    Args:
        names: `greedy`, `majority@K` and `best_of_n@K` (K independent solutions, 16 by default),
            `beam@WIDTH` or `mcts` (alias `search`); a word may hold several, with commas.
        budget: `tokens=1600`, `seconds=60`, `rollouts=32`, alike.
        options: `candidates=4`, `depth=8` and so on, alike.
        seed: 0 or more.

    Raises:
        BadMethod: an unknown name, a value out of type, or an option that no method here uses.
    """
    wanted = list(dict.fromkeys(_split(names)))
    if not wanted:
        raise BadMethod("method: none given")
    limits = _assignments("budget", budget, _BUDGET)
    chosen = _assignments("set", options, _OPTIONS)
    made = [_method(name, limits, chosen, seed) for name in wanted]
    for group, given in (("budget", limits), ("set", chosen)):
        for key, value in given.items():
            used = [m.budget if group == "budget" else m.options for m in made]
            if not any(fields.get(key) == value for fields in used):
                raise BadMethod(f"{group} {key}: does not apply to {', '.join(wanted)}")
    return made


def _method(
    name: str,
    limits: Mapping[str, int | float | str],
    chosen: Mapping[str, int | float | str],
    seed: int,
) -> Method:
    seconds = float(limits.get("seconds", DEFAULT_SECONDS))
    if name == "greedy":
        return Method(name, _whole(1, seconds), {**_kept(chosen, "depth"), "method": name}, seed)
    if match := _SAMPLED.fullmatch(name):
        return _sampled(match[1], int(match[2] or DEFAULT_SAMPLES), seconds, chosen, seed)
    beam = _BEAM.fullmatch(name)
    if name in ("mcts", "search") or beam:
        budget = {
            "rollouts": int(limits.get("rollouts", MAX_ROLLOUTS)),
            "tokens": int(limits.get("tokens", DEFAULT_TOKENS)),
            "seconds": seconds,
        }
        options: dict[str, int | float | str] = {**chosen, "method": "beam" if beam else "mcts"}
        if beam and beam[1]:
            options["beam_width"] = _within(name, int(beam[1]), 64)
        return Method("mcts" if name == "search" else name, budget, options, seed)
    raise BadMethod(f"method {name}: not one of {', '.join(_NAMES)}")


def _sampled(
    method: str,
    samples: int,
    seconds: float,
    chosen: Mapping[str, int | float | str],
    seed: int,
) -> Method:
    """Independent solutions, all drawn in one call: they share the engine's batch."""
    name = f"{method}@{_within(method, samples, MAX_CANDIDATES)}"
    options = {**_kept(chosen, *_OF_SAMPLES), "method": method, "candidates": samples}
    return Method(name, _whole(samples, seconds), options, seed)


def _within(name: str, value: int, most: int) -> int:
    if not 1 <= value <= most:
        raise BadMethod(f"method {name}: 1 to {most}, not {value}")
    return value


def _whole(samples: int, seconds: float) -> dict[str, int | float]:
    """A budget of so many samples: tokens are counted but do not end it."""
    return {"rollouts": samples, "tokens": MAX_TOKENS, "seconds": seconds}


def _kept(chosen: Mapping[str, int | float | str], *names: str) -> dict[str, int | float | str]:
    return {name: chosen[name] for name in names if name in chosen}


def _split(words: Iterable[str]) -> list[str]:
    return [word for text in words for word in re.split(r"[,\s]+", text) if word]


def _assignments(
    group: str, words: Iterable[str], fields: Mapping[str, _Range | None]
) -> dict[str, int | float | str]:
    found: dict[str, int | float | str] = {}
    for word in _split(words):
        name, equals, text = word.partition("=")
        if name not in fields or not equals:
            raise BadMethod(f"{group} {word}: give any of {', '.join(fields)} as name=value")
        allowed = fields[name]
        if allowed is not None:
            found[name] = _number(f"{group} {name}", text, allowed)
        elif text in _words(name):
            found[name] = text
        else:
            raise BadMethod(f"{group} {name}: one of {', '.join(_words(name))}, not {text!r}")
    return found


def _number(place: str, text: str, allowed: _Range) -> int | float:
    limits = f"a number from {allowed.low:g} to {allowed.high:,}"
    try:
        value = allowed.kind(text)
    except ValueError:
        raise BadMethod(f"{place}: {limits} is wanted, not {text!r}") from None
    if not allowed.low <= value <= allowed.high:
        raise BadMethod(f"{place}: {limits} is wanted, not {text}")
    return value


def _words(name: str) -> list[str]:
    return [word for word in _WORDS[name] if word != "unspecified"]


def digest(settings: Mapping[str, Any]) -> str:
    """A short hash of settings; runs with different ones must not be mixed."""
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
