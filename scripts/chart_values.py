"""Write what follows from the chart's values.yaml: its JSON schema and the table in the docs.

`--check` changes nothing and fails where a file is not what it would write.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from services.policy.settings import PolicySettings
from services.ppm.settings import PpmSettings
from services.sandbox.settings import SandboxSettings
from services.search.settings import SearchSettings

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "deploy" / "helm" / "rstar"
VALUES = CHART / "values.yaml"
SCHEMA = CHART / "values.schema.json"
TABLE = CHART / "README.md"

# Maps whose keys are the user's own.
FREE = {
    "annotations", "nodeSelector", "affinity", "resources", "podDisruptionBudget",
    "labels", "dashboardLabels", "config",
}  # fmt: skip
# What `settings` of a component may name; a variable that a service does not know it would ignore.
SETTINGS = {
    "search.settings": SearchSettings,
    "sandbox.settings": SandboxSettings,
    "policy.default.settings": PolicySettings,
    "ppm.settings": PpmSettings,
}
ENUMS = {
    "image.pullPolicy": ["Always", "IfNotPresent", "Never"],
    "log.level": ["debug", "info", "warning", "error"],
    "log.format": ["console", "json"],
    "search.service.type": ["ClusterIP", "LoadBalancer", "NodePort"],
    "sandbox.require": ["any", "full"],
    "auth.mode": ["keys", "off"],
    "autoscaling.by": ["hpa", "keda"],
    "autoscaling.metrics": ["auto", "cpu", "custom"],
    "redis.external.keda.tls": ["false", "true"],
    "trainer.harvest.default.by": ["job", "keda"],
    "trainer.training.default.by": ["job", "kubeflow"],
    "trainer.training.default.kind": ["policy", "ppm"],
    "tls.certManager.issuerRef.kind": ["Issuer", "ClusterIssuer"],
}
BOUNDS = {
    "tracing.share": {"minimum": 0, "maximum": 1},
    "search.service.port": {"minimum": 1, "maximum": 65535},
    "search.service.grpcPort": {"minimum": 1, "maximum": 65535},
}
# Maps of entries by name, each with the fields of the `default` beside it: where they stand, their
# key, how many at least, and the length of a name, which goes into names of objects.
MAPS = (
    ("policy", "pools", 1, 20),
    ("trainer.harvest", "runs", 0, 16),
    ("trainer.training", "runs", 0, 16),
)


def schema_of(value: Any, path: str = "") -> dict[str, Any]:
    """The schema of a value by its default; `path` is its dotted key."""
    if path in ENUMS:
        return {"enum": ENUMS[path]}
    if isinstance(value, bool):
        return {"type": "boolean"}
    if isinstance(value, int):
        return {"type": "integer", "minimum": 0, **BOUNDS.get(path, {})}
    if isinstance(value, float):
        return {"type": "number", "minimum": 0, **BOUNDS.get(path, {})}
    if isinstance(value, str):
        return {"type": "string"}
    if isinstance(value, list):
        return {"type": "array"}
    if path in SETTINGS:
        return {"type": "object", "propertyNames": {"enum": sorted(SETTINGS[path].model_fields)}}
    name = path.rpartition(".")[2]
    if name in FREE:
        return {"type": "object"}
    properties = {key: schema_of(one, f"{path}.{key}".lstrip(".")) for key, one in value.items()}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def schema(values: dict[str, Any]) -> dict[str, Any]:
    """The schema of all values; `global` is Helm's own."""
    whole = schema_of(values)
    for component, entries, least, longest in MAPS:
        properties = whole
        for key in component.split("."):
            properties = properties["properties"][key]
        properties["properties"][entries] = {
            "type": "object",
            "minProperties": least,
            "propertyNames": {"pattern": f"^[a-z0-9]([a-z0-9-]{{0,{longest - 2}}}[a-z0-9])?$"},
            "additionalProperties": {
                "anyOf": [properties["properties"]["default"], {"type": "null"}]
            },
        }
    whole["properties"]["global"] = {"type": "object"}
    return {"$schema": "https://json-schema.org/draft-07/schema#", "title": "rstar", **whole}


def documented(text: str) -> Iterator[tuple[str, str]]:
    """Each key that has a `# --` comment above it, dotted, with that comment."""
    stack: list[tuple[int, str]] = []
    comment = ""
    for line in text.splitlines():
        if match := re.match(r"\s*# -- (.*)", line):
            comment = match[1]
        elif match := re.match(r"(\s*)([\w.]+):", line):
            indent = len(match[1])
            while stack and stack[-1][0] >= indent:
                stack.pop()
            stack.append((indent, match[2]))
            if comment:
                yield ".".join(key for _, key in stack), comment
            comment = ""


def default_of(values: Any, path: str) -> str:
    """The default of a dotted key, as JSON on one line; long ones are named by their kind."""
    for key in path.split("."):
        values = values[key]
    text = json.dumps(values)
    return text if len(text) <= 40 else "see values.yaml"


def table(text: str, values: dict[str, Any]) -> str:
    """The chart's README."""
    rows = [
        f"| `{path}` | `{default_of(values, path)}` | {comment} |"
        for path, comment in documented(text)
    ]
    head = (
        "# The chart `rstar`\n\nSearch, sandbox, policy pools, PPM, Redis and the trainer's jobs. "
        "`docs/kubernetes.md` says how to use it; the example values stand in `deploy/helm/`.\n\n"
        "This table is made from `values.yaml` by `scripts/chart_values.py`; values without a line "
        "of their own say what they are by their names.\n\n"
        "| value | default | what it is |\n| --- | --- | --- |\n"
    )
    return head + "\n".join(rows) + "\n"


def main() -> int:
    """Write or check; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    text = VALUES.read_text("utf-8")
    values = yaml.safe_load(text)
    made = {
        SCHEMA: json.dumps(schema(values), indent=2) + "\n",
        TABLE: table(text, values),
    }
    stale = [p for p, t in made.items() if not p.is_file() or p.read_text("utf-8") != t]
    if check and stale:
        print(f"not up to date, run {Path(__file__).name}:", *stale, file=sys.stderr)
        return 1
    for path in () if check else stale:
        path.write_text(made[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
