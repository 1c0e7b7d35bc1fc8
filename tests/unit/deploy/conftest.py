"""Renders the chart with the real helm."""

import functools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
DEPLOY = ROOT / "deploy" / "helm"
CHART = DEPLOY / "rstar"
EXAMPLES = sorted(DEPLOY.glob("values-*.yaml"))
VERSIONS = ("1.20.15", "1.28.0", "1.32.0", "1.37.0")

Object = dict[str, Any]
Render = Callable[..., list[Object]]


class Refused(Exception):  # noqa: N818 - what helm did
    """Helm refused to render; says why."""


@pytest.fixture(scope="session")
def helm() -> Path:
    script = ROOT / "scripts" / "kube_tools.py"
    found = subprocess.run(
        [sys.executable, str(script), "helm"], check=True, capture_output=True, text=True
    )
    return Path(found.stdout.strip())


@pytest.fixture(scope="session")
def render(helm: Path) -> Render:
    """Objects of the chart with values from files and keywords; Refused with helm's words."""

    @functools.cache
    def run(arguments: tuple[str, ...]) -> str:
        command = [str(helm), "template", "r", str(CHART), "--namespace", "n", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise Refused(done.stderr)
        return done.stdout

    def objects(
        *files: Path, version: str = "1.37.0", apis: tuple[str, ...] = (), **values: object
    ) -> list[Object]:
        arguments = ["--kube-version", version]
        for file in files:
            arguments += ["--values", str(file)]
        for api in apis:
            arguments += ["--api-versions", api]
        for key, value in values.items():
            arguments += ["--set-json", f"{key.replace('__', '.')}={json.dumps(value)}"]
        return [one for one in yaml.safe_load_all(run(tuple(arguments))) if one]

    return objects


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    return [one for one in objects if one["kind"] in kinds]


def named(objects: list[Object], kind: str, name: str) -> Object:
    (found,) = [o for o in of_kind(objects, kind) if o["metadata"]["name"] == name]
    return found


def pods(objects: list[Object]) -> list[tuple[str, Object]]:
    """Name and pod specification of everything that makes pods."""
    made = [(one, one["spec"]) for one in of_kind(objects, "Deployment", "StatefulSet", "Job")]
    made += [(one, one["spec"]["jobTemplate"]["spec"]) for one in of_kind(objects, "CronJob")]
    return [(one["metadata"]["name"], spec["template"]) for one, spec in made]
