import json
from pathlib import Path

import pytest

from services.common.inference.compatibility import difference
from tests.support.folders import make_folder


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return make_folder(tmp_path / "old"), make_folder(tmp_path / "new", numbers=b"\7\7\7\7")


def change_config(folder: Path, **fields: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_other_numbers_fit(pair: tuple[Path, Path]) -> None:
    assert difference(*pair) is None


def test_notes_and_papers_do_not_matter(pair: tuple[Path, Path]) -> None:
    change_config(pair[1], transformers_version="9", _name_or_path="x", torch_dtype="float16")
    (pair[1] / "README.md").write_text("better")
    (pair[1] / "manifest.json").write_text("{}")
    (pair[1] / "adapter").mkdir()
    (pair[1] / "adapter/adapter_config.json").write_text("{}")
    assert difference(*pair) is None


def test_another_configuration_does_not_fit(pair: tuple[Path, Path]) -> None:
    change_config(pair[1], rope_theta=10_000)
    assert difference(*pair) == "config.json: rope_theta"


def test_another_shape_does_not_fit(pair: tuple[Path, Path]) -> None:
    make_folder(pair[1], numbers=b"\7\7")
    assert difference(*pair) == "tensors: weight"


@pytest.mark.parametrize(
    "name", ["tokenizer.json", "chat_template.jinja", "generation_config.json"]
)
def test_another_tokenizer_or_prompt_does_not_fit(pair: tuple[Path, Path], name: str) -> None:
    (pair[1] / name).write_text('{"x": 1}')
    assert difference(*pair) == f"files: {name}"
