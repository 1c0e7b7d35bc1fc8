import json
import os
from pathlib import Path

import pytest

from services.common.inference import arguments
from services.common.inference.arguments import CPU_CONTEXT_TOKENS, EngineSettings, context_tokens


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps({"max_position_embeddings": 32_768}))
    return tmp_path


def test_a_cpu_holds_less_context_than_large_models_have(model: Path) -> None:
    assert context_tokens(EngineSettings(), model, cpu=True) == CPU_CONTEXT_TOKENS


def test_a_small_model_keeps_its_own_limit(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"max_position_embeddings": 2048}))
    assert context_tokens(EngineSettings(), tmp_path, cpu=True) == 2048


def test_a_gpu_takes_the_models_limit(model: Path) -> None:
    assert context_tokens(EngineSettings(), model, cpu=False) is None


@pytest.mark.parametrize("cpu", [True, False])
def test_a_setting_decides(model: Path, *, cpu: bool) -> None:
    assert context_tokens(EngineSettings(context_tokens=777), model, cpu=cpu) == 777


@pytest.mark.parametrize(("given", "kept"), [(None, str(arguments.PRIMITIVES)), ("1024", "1024")])
def test_what_onednn_keeps_is_bounded_unless_the_operator_says_otherwise(
    given: str | None, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
    monkeypatch.setattr(os, "environ", {} if given is None else {name: given})
    arguments.set_environment(EngineSettings())
    assert os.environ[name] == kept
