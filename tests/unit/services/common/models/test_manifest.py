from typing import Any

import pytest
from pydantic import ValidationError

from services.common.models.manifest import Manifest, explain, is_version

POLICY: dict[str, Any] = {
    "kind": "policy",
    "version": "round-1",
    "prompt_style": "bare",
    "licence": "Apache-2.0",
    "files": {
        "model.safetensors": {"sha256": "a" * 64, "size": 3},
        "b/c": {"sha256": "b" * 64, "size": 4},
    },
    "created": "2025-01-04T00:00:00Z",
}
PPM = {**POLICY, "kind": "ppm", "scale": 5.0, "prompt_style": None}


def fault(fields: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as caught:
        Manifest.model_validate(fields)
    return explain(caught.value)


def test_survives_its_own_json() -> None:
    for fields in (POLICY, PPM):
        manifest = Manifest.model_validate(fields)
        assert Manifest.model_validate_json(manifest.model_dump_json(exclude_none=True)) == manifest


def test_sums_the_sizes_of_its_files() -> None:
    assert Manifest.model_validate(POLICY).size == 7


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"surprise": 1}, "surprise"),
        ({"schema_version": 3}, "schema_version"),
        ({"version": "../up"}, "version"),
        ({"licence": ""}, "licence"),
        ({"files": {}}, "files"),
        ({"files": {"a": {"sha256": "xyz", "size": 1}}}, "files.a.sha256"),
        ({"files": {"a": {"sha256": "a" * 64, "size": -1}}}, "files.a.size"),
        ({"created": "2025-01-04T00:00:00"}, "created"),
        ({"prompt_style": None}, "a policy has a prompt_style"),
        ({"scale": 1.0}, "a policy has a prompt_style and no scale"),
        ({"kind": "ppm"}, "a ppm has a scale and no prompt_style"),
        ({"kind": "ppm", "scale": 0.0}, "scale"),
        ({"kind": "ppm", "scale": float("inf")}, "scale"),
    ],
)
def test_a_refused_manifest_names_the_field(change: dict[str, Any], said: str) -> None:
    assert said in fault({**POLICY, **change})


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../x", "a/../b", "a//b", "./a", "a\\b", "", "manifest.json"]
)
def test_refuses_paths_that_leave_the_folder(name: str) -> None:
    files = {name: {"sha256": "a" * 64, "size": 1}}
    assert "files" in fault({**POLICY, "files": files})


def test_a_version_is_a_plain_folder_name() -> None:
    assert is_version("qwen2.5-coder-0.5b")
    for name in ("", ".hidden", "a/b", "..", "-x", "a b", "x" * 101, "new\nline", "end\n"):
        assert not is_version(name), name
