"""The manifest of a model version: what it is, where it came from, and every file it is made of."""

import re
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

FILE_NAME = "manifest.json"

Kind = Literal["policy", "ppm"]
PromptStyle = Literal["bare", "few_shot_chat"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
VERSION_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class FileEntry(_Record):
    """One file of a version."""

    sha256: Sha256
    size: int = Field(ge=0, description="In bytes.")


class Source(_Record):
    """The file or data that a version was made from."""

    uri: str = Field(min_length=1, description="Where it was fetched.")
    sha256: Sha256
    size: int = Field(ge=0, description="In bytes.")


class Data(_Record):
    """What a version was trained on."""

    uri: str = Field(min_length=1, description="Where the data lies, or its name.")
    sha256: Sha256 = Field(description="Of the data set's file, or of its own manifest.")
    examples: int | None = Field(None, ge=0, description="How many there are.")


class Adapter(_Record):
    """A LoRA adapter that was merged into the weights; its files lie in the folder `adapter/`."""

    base: str = Field(
        pattern=VERSION_PATTERN, description="The version whose weights it was trained on."
    )
    rank: int = Field(ge=1)
    alpha: float = Field(gt=0, allow_inf_nan=False)


class Manifest(_Record):
    """What is known of one model version; stands beside its files as `manifest.json`.

    Schema 1 had no `data` and no `adapter`; it is still read.
    """

    schema_version: Literal[1, 2] = 2
    kind: Kind
    version: str = Field(pattern=VERSION_PATTERN)
    base: str | None = Field(None, description="The public model that the weights descend from.")
    parent: str | None = Field(
        None, pattern=VERSION_PATTERN, description="The version that training started from."
    )
    round: int | None = Field(None, ge=0, description="Round of self-evolution that made it.")
    prompt_style: PromptStyle | None = Field(
        None,
        description="How a policy is prompted: by the bare trajectory grammar that it was trained "
        "on, or, as an instruct model, by a few worked examples in a chat.",
    )
    scale: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="A PPM's score is tanh(logit / scale), in training and serving alike.",
    )
    licence: str = Field(min_length=1, description="SPDX identifier.")
    source: Source | None = None
    data: Data | None = Field(None, description="What it was trained on.")
    adapter: Adapter | None = Field(None, description="The LoRA adapter merged into it, if any.")
    metrics: dict[str, float] = Field(default_factory=dict)
    files: dict[str, FileEntry] = Field(
        min_length=1, description="By path relative to the version's folder, with `/`."
    )
    created: AwareDatetime

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "Manifest":
        if self.kind == "policy" and (self.prompt_style is None or self.scale is not None):
            raise ValueError("a policy has a prompt_style and no scale")
        if self.kind == "ppm" and (self.scale is None or self.prompt_style is not None):
            raise ValueError("a ppm has a scale and no prompt_style")
        for name in self.files:
            _check_path(name)
        return self

    @property
    def size(self) -> int:
        """Of all files together, in bytes."""
        return sum(entry.size for entry in self.files.values())


def is_version(name: str) -> bool:
    """Whether a version may have this name, which is also its folder's."""
    return re.fullmatch(VERSION_PATTERN, name) is not None


def explain(error: ValidationError) -> str:
    """The first fault of a refused manifest, in one line that names the field."""
    fault = error.errors()[0]
    field = ".".join(map(str, fault["loc"]))
    return f"{field}: {fault['msg']}" if field else str(fault["msg"])


def _check_path(name: str) -> None:
    path = PurePosixPath(name)
    plain = path.parts and not path.is_absolute() and ".." not in path.parts
    if not plain or "\\" in name or str(path) != name or name == FILE_NAME:
        raise ValueError(f"files: {name!r} is not a plain path inside the version's folder")
