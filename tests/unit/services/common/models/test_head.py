"""A PPM shipped as its head: taken out of a trained one, and made whole again."""

import json
from pathlib import Path
from typing import Any

import pytest

from services.common.models import head, shipped, weights
from services.common.models.errors import ModelError
from services.common.models.head_extraction import extract
from services.common.models.store import ModelStore, StoredModel
from services.common.models.weights import BadFile
from services.common.steps import DELIMITERS
from tests.support.heads import DATA, LAYERS, SOURCE, store_with_head, write_ppm
from tests.support.training import make_base

VERSION = "small-judge"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    place = tmp_path_factory.mktemp("store")
    return store_with_head(ModelStore(str(place / "store")), place)


@pytest.fixture
def opened(store: ModelStore) -> tuple[StoredModel, StoredModel]:
    return store.open("ppm", "trained"), store.open("policy", "small")


def _content(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def test_a_head_that_was_taken_out_makes_the_same_ppm(
    store: ModelStore, opened: tuple[StoredModel, StoredModel], tmp_path: Path
) -> None:
    import torch

    recipe = extract(*opened, VERSION, tmp_path / "heads" / VERSION)
    assert recipe.layers == LAYERS
    assert recipe.tokens == tuple(DELIMITERS)
    assert (recipe.scale, recipe.data, recipe.metrics) == (1.5, DATA, {"pairs": 0.7})
    found = shipped.head_of("small", tmp_path / "heads")
    assert found is not None
    made = shipped.bring(store, found)
    assert made.manifest.scale == 1.5
    assert made.manifest.parent == "small"
    before, after = _content(opened[0].path), _content(made.path)
    assert before.keys() == after.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert shipped.bring(store, found) == made


def test_what_was_made_computes_and_cuts_as_what_was_trained(
    store: ModelStore, opened: tuple[StoredModel, StoredModel], tmp_path: Path
) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    extract(*opened, VERSION, tmp_path / "out")
    head.assemble(head.read(tmp_path / "out"), opened[1].path, tmp_path / "made")
    weights.check_folder("ppm", tmp_path / "made")
    text = f"How many?\n\n{DELIMITERS[0]}\n# Step 1: add\nprint(1 + 1)\n{DELIMITERS[1]}\n"
    said = []
    for folder in (opened[0].path, tmp_path / "made"):
        ids = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
        model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
        with torch.inference_mode():
            said.append((ids["input_ids"].tolist(), model(**ids).logits.tolist()))
    assert said[0] == said[1]


def test_a_ppm_of_which_more_was_trained_is_no_head(
    store: ModelStore, opened: tuple[StoredModel, StoredModel], tmp_path: Path
) -> None:
    write_ppm(opened[1].path, tmp_path / "ppm", "model.layers.0.mlp.up_proj.weight")
    other = store.publish("ppm", "deeper", tmp_path / "ppm", licence="MIT", scale=1.0)
    with pytest.raises(BadFile, match=r"up_proj.weight is not the base's"):
        extract(other, opened[1], VERSION, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_same_name_for_another_base_is_refused(
    opened: tuple[StoredModel, StoredModel], tmp_path: Path
) -> None:
    extract(*opened, VERSION, tmp_path / "heads" / VERSION)
    (found,) = shipped.shipped(tmp_path / "heads")
    elsewhere = ModelStore(str(tmp_path / "store"))
    other = SOURCE.model_copy(update={"sha256": "c" * 64})
    elsewhere.publish(
        "policy", "small", opened[1].path, licence="MIT", prompt_style="bare", source=other
    )
    with pytest.raises(ModelError, match="'small' in the store is another model"):
        shipped.bring(elsewhere, found)
    assert elsewhere.versions("ppm") == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"layers": 3}, "the base has 2 layers, the head reads 3"),
        ({"layers": 0}, "head.json: layers"),
        ({"scale": -1}, "head.json: scale"),
        ({"tokens": ["<code>"]}, "delimiters is"),
        ({"unknown": 1}, "head.json: unknown"),
    ],
)
def test_a_recipe_that_does_not_fit_is_named(
    opened: tuple[StoredModel, StoredModel], tmp_path: Path, change: dict[str, Any], fault: str
) -> None:
    extract(*opened, VERSION, tmp_path / "out")
    recipe = tmp_path / "out" / head.RECIPE
    recipe.write_text(json.dumps(json.loads(recipe.read_text()) | change))
    with pytest.raises(BadFile, match=fault):
        head.assemble(head.read(tmp_path / "out"), opened[1].path, tmp_path / "made")


def test_a_base_without_room_for_the_delimiters_is_refused(
    opened: tuple[StoredModel, StoredModel], tmp_path: Path
) -> None:
    extract(*opened, VERSION, tmp_path / "out")
    tight = make_base(tmp_path / "tight", family="qwen2", dtype="bfloat16")
    with pytest.raises(BadFile, match="no room for the delimiters"):
        head.assemble(head.read(tmp_path / "out"), tight, tmp_path / "made")


def test_every_head_that_comes_along_can_be_read() -> None:
    for found in shipped.shipped():
        assert found.recipe.tokens == tuple(DELIMITERS)
        assert shipped.head_of(found.recipe.base) == found
