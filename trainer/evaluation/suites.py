"""The benchmarks of the paper (arXiv 2501.04519, section 4.1): where their problems come from.

None of the data is part of this project. A suite is read from a file of the user's own or, where it
can be reached, from the Hugging Face hub.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainer.problems.files import SUFFIXES, read_problems
from trainer.problems.hub import read_dataset
from trainer.problems.problem import BadProblems, Problem


@dataclass(frozen=True, slots=True)
class Suite:
    """A benchmark.

    Attributes:
        name: as commands call it.
        title: as the paper's tables call it.
        problems: how many its release has.
        licence: of its data, as its release states it.
        dataset: id on the Hugging Face hub.
        configs: configurations of that data set, read one after another; one empty for its only.
        split: split of that data set.
    """

    name: str
    title: str
    problems: int
    licence: str
    dataset: str
    configs: tuple[str, ...]
    split: str


_MATH_SUBJECTS = (
    "algebra",
    "counting_and_probability",
    "geometry",
    "intermediate_algebra",
    "number_theory",
    "prealgebra",
    "precalculus",
)
_UNSTATED = "not stated by its release"
_ALL = (
    Suite("gsm8k", "GSM8K", 1319, "MIT", "openai/gsm8k", ("main",), "test"),
    Suite("math500", "MATH-500", 500, "MIT", "HuggingFaceH4/MATH-500", ("",), "test"),
    Suite("math", "MATH", 5000, "MIT", "EleutherAI/hendrycks_math", _MATH_SUBJECTS, "test"),
    Suite("aime2024", "AIME 2024", 30, _UNSTATED, "HuggingFaceH4/aime_2024", ("",), "train"),
    Suite("amc23", "AMC 2023", 40, _UNSTATED, "math-ai/amc23", ("",), "test"),
    Suite(
        "olympiadbench",
        "Olympiad Bench",
        674,
        "Apache-2.0",
        "Hothan/OlympiadBench",
        ("OE_TO_maths_en_COMP",),
        "train",
    ),
    Suite(
        "collegemath",
        "College Math",
        2818,
        "mixed, of the textbooks that it is drawn from",
        "realtreetune/college_math",
        ("",),
        "test",
    ),
    Suite(
        "gaokao2023en",
        "Gaokao 2023 En",
        385,
        _UNSTATED,
        "MARIO-Math-Reasoning/Gaokao2023-Math-En",
        ("",),
        "train",
    ),
)
SUITES: Mapping[str, Suite] = {suite.name: suite for suite in _ALL}


@dataclass(frozen=True, slots=True)
class Source:
    """Where the problems of one run come from.

    Attributes:
        suite: names the run: a benchmark's name, a file's without its ending, or a data set's id.
        path: the file; None for the hub.
        known: the benchmark, where it is one of the paper's.
        dataset: id on the hub, for a source without a file.
    """

    suite: str
    path: Path | None
    known: Suite | None = None
    dataset: str = ""

    def read(self, limit: int | None = None) -> list[Problem]:
        """Its first `limit` problems; BadProblems where they cannot be read."""
        if self.path is not None:
            return read_problems(self.path, limit)
        if self.known is not None:
            return read_dataset(self.known.dataset, self.known.configs, self.known.split, limit)
        return read_dataset(self.dataset, ("",), "test", limit)


def find(name: str, folders: Sequence[Path]) -> Source:
    """The source of a suite by what a user calls it.

    Args:
        name: a file's path; the name of a benchmark; or a hub data set's id (`owner/name`).
        folders: searched for `<name>.<ending>`, `<name>_<anything>.<ending>` and the same in their
            `eval` folders, in this order, before the hub is asked. `<name>_train...` is not taken.

    Raises:
        BadProblems: it is none of these, or several files fit.
    """
    path = Path(name).expanduser()
    if path.suffix.lower() in SUFFIXES:
        return Source(path.stem, path)
    known = SUITES.get(name)
    for folder in [inner for outer in folders for inner in (outer, outer / "eval")]:
        if (file := _file_of(name, folder)) is not None:
            return Source(name if known else file.stem, file, known)
    if known is not None:
        return Source(name, None, known)
    if name.count("/") == 1:
        return Source(name.replace("/", "--"), None, dataset=name)
    raise BadProblems(
        f"suite {name!r}: neither a file ({', '.join(SUFFIXES)}) nor one of {', '.join(SUITES)}"
    )


def _file_of(name: str, folder: Path) -> Path | None:
    for suffix in SUFFIXES:
        if (exact := folder / f"{name}{suffix}").is_file():
            return exact
    parts = sorted(
        path
        for suffix in SUFFIXES
        for path in folder.glob(f"{name}_*{suffix}")
        # Nothing may be measured by accident on what models are trained on.
        if not path.stem.removeprefix(f"{name}_").lower().startswith("train")
    )
    if len(parts) > 1:
        raise BadProblems(
            f"suite {name!r}: several files fit, name one: {', '.join(map(str, parts))}"
        )
    return parts[0] if parts else None
