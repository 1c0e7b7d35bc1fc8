"""Hold objects of other projects' operators against types generated from their CRDs.

Reads [[source, object], ...] as JSON and prints what does not fit. Run by check_deploy.py in an
environment of its own, where the packages of `PINS` are. The types take what they do not know
without a word, so what they give back is compared with what they were given.
"""

import importlib
import json
import sys
from typing import Any

PINS = (
    "cloudcoil-models-cert-manager==1.17.1.0",
    "cloudcoil-models-keda==2.16.1.0",
    "cloudcoil-models-prometheus-operator==0.80.1.0",
    "kubeflow-trainer-api==2.3.0",
)
# By API: the module, and what the type's name has before its kind. The last part of a version is
# the package's own: cert-manager 1.17.1, KEDA 2.16.1, Prometheus' operator 0.80.1.
TYPES = {
    "cert-manager.io/v1": ("cloudcoil.models.cert_manager.v1", ""),
    "keda.sh/v1alpha1": ("cloudcoil.models.keda.v1alpha1", ""),
    "monitoring.coreos.com/v1": ("cloudcoil.models.prometheus_operator.v1", ""),
    "trainer.kubeflow.org/v1alpha1": ("kubeflow_trainer_api.models", "TrainerV1alpha1"),
}

# Quantities are text or numbers; the generator of Kubeflow's types has made empty objects of them.
QUANTITIES = frozenset({"limits", "requests", "sizeLimit"})


def without_quantities(given: Any) -> Any:
    """What can be held against Kubeflow's types."""
    if isinstance(given, dict):
        return {k: without_quantities(v) for k, v in given.items() if k not in QUANTITIES}
    return [without_quantities(one) for one in given] if isinstance(given, list) else given


def differences(given: Any, kept: Any, path: str = "") -> list[str]:
    """Paths of what a type has left out or changed of what it was given."""
    if isinstance(given, dict) and isinstance(kept, dict):
        return [
            found
            for key, value in given.items()
            for found in (
                differences(value, kept[key], f"{path}.{key}")
                if key in kept
                else [f"{path}.{key}: no such field"]
            )
        ]
    if isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        return [
            found
            for number, (one, other) in enumerate(zip(given, kept, strict=True))
            for found in differences(one, other, f"{path}[{number}]")
        ]
    return [] if given == kept else [f"{path}: {given!r} is read as {kept!r}"]


def faults(one: dict[str, Any]) -> list[str]:
    """What is wrong with an object; its kind must be one of the API's."""
    from pydantic import BaseModel, ValidationError

    module, prefix = TYPES[one["apiVersion"]]
    kind: type[BaseModel] | None = getattr(
        importlib.import_module(module), prefix + one["kind"], None
    )
    if kind is None:
        return [f": {one['apiVersion']} has no kind {one['kind']}"]
    if prefix:
        one = without_quantities(one)
    try:
        read = kind.model_validate(one)
    except ValidationError as error:
        return [f".{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
    return differences(one, read.model_dump(mode="json", by_alias=True, exclude_unset=True))


def main() -> int:
    """Print every fault; 1 where there is one."""
    found = 0
    for source, one in json.load(sys.stdin):
        for fault in faults(one):
            found += 1
            print(f"{source}: {one['kind']} {one['metadata']['name']}{fault}")
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main())
