"""What an evolution is made of, from one YAML or JSON file."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from trainer.evaluation.methods import BadMethod, parse_methods
from trainer.selection.pairs import PairRules
from trainer.selection.solutions import SolutionRules
from trainer.training.settings import PolicySettings, PpmSettings

_PLACES = frozenset({"data", "base", "output"})
_ANYWHERE = {"data": (Path("rows.jsonl"),), "base": Path("base"), "output": Path("output")}


class BadConfig(ValueError):  # noqa: N818 - names the fault in what was given
    """A configuration that cannot be used; the message names the field and what is wrong."""


class _Fields(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Problems(_Fields):
    """Where problems come from: a file of JSON lines, JSON or parquet."""

    file: Path
    limit: int | None = Field(None, ge=1, description="Only the first so many.")


class Bootstrap(_Fields):
    """What proposes steps in round 1: a stronger model of the store, or a program."""

    model: str = Field("", description="Version in the model store, served by the policy service.")
    module: str = Field(
        "",
        pattern=r"^[A-Za-z_][\w.]*$|^$",
        description="Or a Python module that speaks the policy's gRPC contract in its place.",
    )
    settings_prefix: str = Field(
        "policy", pattern=r"^\w+$", description="Its settings are RSTAR_<PREFIX>_<FIELD>."
    )

    @model_validator(mode="after")
    def _one(self) -> "Bootstrap":
        if bool(self.model) == bool(self.module):
            raise ValueError("give either `model` or `module`")
        return self


class Search(_Fields):
    """Shape and budget of the searches of one kind; unset options are the service's defaults."""

    rollouts: int = Field(16, ge=1, le=10_000)
    tokens: int = Field(100_000, ge=1, le=10_000_000)
    seconds: float = Field(600.0, gt=0, le=3600)
    options: dict[str, int | float | str] = Field(
        default_factory=dict, description="Fields of SearchOptions: candidates, temperature, ..."
    )

    @field_validator("options")
    @classmethod
    def _known(cls, given: dict[str, int | float | str]) -> dict[str, int | float | str]:
        return _asked_options(given)

    @property
    def budget(self) -> dict[str, int | float]:
        """As requests carry it."""
        return {"rollouts": self.rollouts, "tokens": self.tokens, "seconds": self.seconds}


class Rung(_Fields):
    """One step of a ladder: what is still unsolved is searched with more rollouts."""

    rollouts: int = Field(ge=1, le=10_000)
    seeds: int = Field(1, ge=1, le=64, description="Trees of each problem, from different seeds.")


class Round(_Fields):
    """How one round searches."""

    guidance: Literal["answer", "ppm"] = Field(
        description="answer: the search is told the right one (equation 2 of the paper); ppm: "
        "beside that, steps start with the score of the PPM of the round before (equation 3)."
    )
    ladder: tuple[Rung, ...] = Field(
        (Rung(rollouts=16),),
        min_length=1,
        description="The first rung searches every problem, each further one what is unsolved.",
    )
    options: dict[str, int | float | str] = Field(
        default_factory=dict, description="Of this round's searches, over the harvest's."
    )

    @field_validator("options")
    @classmethod
    def _known(cls, given: dict[str, int | float | str]) -> dict[str, int | float | str]:
        return _asked_options(given)


class Evaluation(_Fields):
    """How the models of a round are measured; the problems are never trained on."""

    problems: Problems
    search: Search = Field(default_factory=Search, description="Guided and unguided alike.")
    concurrency: int = Field(8, ge=1, le=1024)


class Selection(_Fields):
    """Rules of trainer.selection by the names of their fields."""

    solutions: dict[str, int | float] = Field(default_factory=dict)
    pairs: dict[str, int | float | bool] = Field(default_factory=dict)

    @property
    def solution_rules(self) -> SolutionRules:
        """TypeError where a rule has no such field."""
        return SolutionRules(**self.solutions)  # type: ignore[arg-type]

    @property
    def pair_rules(self) -> PairRules:
        """TypeError where a rule has no such field."""
        return PairRules(**self.pairs)  # type: ignore[arg-type]

    @model_validator(mode="after")
    def _known(self) -> "Selection":
        try:
            _ = self.solution_rules, self.pair_rules
        except TypeError as error:
            raise ValueError(str(error).partition(") ")[2] or str(error)) from None
        return self

    @field_validator("solutions")
    @classmethod
    def _solution_limits(cls, given: dict[str, int | float]) -> dict[str, int | float]:
        return _limited(given, {"per_problem": 1, "max_tokens": 1, "easy_per_other": 0.0})

    @field_validator("pairs")
    @classmethod
    def _pair_limits(cls, given: dict[str, int | float | bool]) -> dict[str, int | float | bool]:
        least = {"per_side": 1, "alone_against": 1, "min_margin": 0.0, "min_edits": 0}
        return _limited(given, least)


class Harvest(_Fields):
    """How problems are searched for training."""

    problems: Problems
    search: Search = Field(
        default_factory=Search, description="Rollouts are those of the round's ladder."
    )
    workers: int = Field(1, ge=1, le=256)
    concurrency: int = Field(8, ge=1, le=1024)


class Services(_Fields):
    """Where the services are; with no address a stack of its own is started."""

    search: str = Field("", description="gRPC target of a search service that follows `alias`.")
    redis_url: str = Field("", description="Redis of the harvest's queue; needed with it.")
    alias: str = Field(
        "candidate", description="Alias of policy and PPM that those services follow."
    )
    reload_seconds: float = Field(
        600.0, gt=0, description="How long they may take to serve a version after it was published."
    )
    environment: dict[str, str] = Field(
        default_factory=dict, description="Settings of an own stack's services, RSTAR_<...>=..."
    )

    @model_validator(mode="after")
    def _whole(self) -> "Services":
        if self.search and not self.redis_url:
            raise ValueError("search: redis_url is needed beside it")
        return self


class EvolveConfig(_Fields):
    """An evolution.

    Attributes:
        name: of its versions in the store: NAME-r1, NAME-r2, ...
        folder: holds everything it writes; one evolution a folder.
        seed: of searches and trainings.
        base: version in the store that every round's policy is trained from, as in the paper.
        licence: SPDX identifier of what is published; the base's where it is empty.
        bootstrap: what proposes steps in round 1.
        policy, ppm: settings of the two trainings (trainer/training/settings.py), but for places.
        alias: of policy and PPM, moved to each round's versions that pass the gate; empty for none.
        processes: that train together on this machine, one a GPU; torchrun starts them.
        gate: whether a round's policy takes over only where it is no worse than the one before.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,60}$")
    folder: Path
    seed: int = Field(0, ge=0, lt=2**31)
    base: str = Field(min_length=1)
    licence: str = ""
    bootstrap: Bootstrap
    harvest: Harvest
    selection: Selection = Field(default_factory=Selection)
    policy: dict[str, Any] = Field(default_factory=dict)
    ppm: dict[str, Any] = Field(default_factory=dict)
    evaluation: Evaluation
    processes: int = Field(1, ge=1, le=64)
    alias: str = "production"
    gate: bool = True
    services: Services = Field(default_factory=Services)
    rounds: tuple[Round, ...] = Field(min_length=1, max_length=20)

    @field_validator("policy")
    @classmethod
    def _policy_settings(cls, given: dict[str, Any]) -> dict[str, Any]:
        return _checked(PolicySettings, given)

    @field_validator("ppm")
    @classmethod
    def _ppm_settings(cls, given: dict[str, Any]) -> dict[str, Any]:
        return _checked(PpmSettings, given)

    @model_validator(mode="after")
    def _served_apart(self) -> "EvolveConfig":
        if self.services.search and self.services.alias == self.alias:
            raise ValueError(
                f"services.alias: {self.alias!r} is also `alias`; a round is served before the "
                "gate has judged it, so the two must differ"
            )
        return self

    @model_validator(mode="after")
    def _first_round(self) -> "EvolveConfig":
        if self.rounds[0].guidance == "ppm":
            raise ValueError("rounds.0.guidance: there is no PPM before round 1")
        return self

    def version(self, number: int) -> str:
        """Name of a round's versions."""
        return f"{self.name}-r{number}"


def _asked_options(given: dict[str, int | float | str]) -> dict[str, int | float | str]:
    """Options of a search, as `rstar eval --set` takes them, so that none fails hours later."""
    try:
        parse_methods(["mcts"], [], [f"{name}={value}" for name, value in given.items()], 0)
    except BadMethod as error:
        raise ValueError(str(error).removeprefix("set ")) from None
    return given


Number = TypeVar("Number", bound=int | float)


def _limited(given: dict[str, Number], least: Mapping[str, int | float]) -> dict[str, Number]:
    """Rules, each no less than its least value, and whole where that is; other names are kept."""
    for name, value in given.items():
        if name not in least:
            continue
        whole = isinstance(least[name], int)
        if isinstance(value, bool) or (whole and not isinstance(value, int)):
            raise ValueError(f"{name}: a {'whole ' if whole else ''}number is wanted, not {value}")
        if value < least[name]:
            raise ValueError(f"{name}: at least {least[name]} is wanted, not {value}")
    return given


def _checked(
    kind: type[PolicySettings] | type[PpmSettings], given: dict[str, Any]
) -> dict[str, Any]:
    places = sorted(_PLACES & given.keys())
    if places:
        raise ValueError(f"{places[0]}: is settled by the round")
    try:
        kind.model_validate({**given, **_ANYWHERE})
    except ValidationError as error:
        fault = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}") from None
    return given


def load(path: Path) -> EvolveConfig:
    """Read a configuration; relative paths in it start from its own folder.

    Raises:
        BadConfig: the file cannot be read, or a field is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
        fields = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise BadConfig(f"{path}: {error}") from error
    if not isinstance(fields, Mapping):
        raise BadConfig(f"{path}: no mapping of fields")
    try:
        config = EvolveConfig.model_validate(fields)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"]))
        raise BadConfig(
            f"{path}: {place}: {fault['msg']}".replace(": Value error,", ":")
        ) from error
    return _placed(config, path.absolute().parent)


def _placed(config: EvolveConfig, folder: Path) -> EvolveConfig:
    """Paths as they are meant, ~ and variables expanded."""

    def place(path: Path) -> Path:
        expanded = os.path.expandvars(path)
        if "$" in expanded:
            raise BadConfig(f"{path}: the variable in it is not set")
        return folder / Path(expanded).expanduser()

    def problems(one: Problems) -> Problems:
        return one.model_copy(update={"file": place(one.file)})

    harvest = config.harvest.model_copy(update={"problems": problems(config.harvest.problems)})
    evaluation = config.evaluation.model_copy(
        update={"problems": problems(config.evaluation.problems)}
    )
    return config.model_copy(
        update={
            "folder": place(config.folder),
            "harvest": harvest,
            "evaluation": evaluation,
            # A password is not written into a file that many may read.
            "services": config.services.model_copy(
                update={"redis_url": os.path.expandvars(config.services.redis_url)}
            ),
        }
    )
