import json
from pathlib import Path

import pytest

from services.common.models.weights import BadFile, check_folder, check_name
from tests.support.folders import make_folder, safetensors


def refused(folder: Path, kind: str = "policy") -> str:
    with pytest.raises(BadFile) as caught:
        check_folder(kind, folder)  # type: ignore[arg-type] # parametrised by plain strings
    return str(caught.value)


def test_accepts_a_policy_and_a_ppm(tmp_path: Path) -> None:
    check_folder("policy", make_folder(tmp_path / "policy"))
    check_folder("ppm", make_folder(tmp_path / "ppm", "ppm"))


def test_a_policy_is_no_ppm_nor_the_reverse(tmp_path: Path) -> None:
    assert "ForSequenceClassification" in refused(make_folder(tmp_path / "policy"), "ppm")
    assert "ForCausalLM" in refused(make_folder(tmp_path / "ppm", "ppm"), "policy")


@pytest.mark.parametrize("labels", [None, {"0": "no", "1": "yes"}])
def test_a_ppm_has_one_label(tmp_path: Path, labels: dict[str, str] | None) -> None:
    folder = make_folder(tmp_path, "ppm")
    config = json.loads((folder / "config.json").read_text())
    config.pop("id2label")
    if labels:
        config["id2label"] = labels
    (folder / "config.json").write_text(json.dumps(config))
    assert "one label, this one 2" in refused(folder, "ppm")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_names_what_is_missing(tmp_path: Path, name: str) -> None:
    folder = make_folder(tmp_path)
    (folder / name).unlink()
    message = refused(folder)
    assert Path(name).suffix in message
    assert "missing" in message


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe"])
def test_names_a_config_that_is_none(tmp_path: Path, content: bytes) -> None:
    folder = make_folder(tmp_path)
    (folder / "config.json").write_bytes(content)
    assert refused(folder).startswith("config.json: not")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x04\x95",
        b"\x80\x04\x95pickled all the way down",
        safetensors()[:-1],
        safetensors() + b"x",
        safetensors()[:20],
        b"\x02\0\0\0\0\0\0\0[]",
        b"\x08\0\0\0\0\0\0\0" + b'{"a": 1}',
    ],
)
def test_names_weights_that_are_cut_or_something_else(tmp_path: Path, content: bytes) -> None:
    folder = make_folder(tmp_path)
    (folder / "model.safetensors").write_bytes(content)
    assert refused(folder).startswith("model.safetensors: ")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "a/b.PT", "x.pickle", "modeling_x.py"])
def test_refuses_what_runs_code_when_loaded(name: str) -> None:
    with pytest.raises(BadFile, match="can run code"):
        check_name(name)


def test_lets_other_files_be() -> None:
    for name in ("model.safetensors", "config.json", "README.md", "chat_template.jinja"):
        check_name(name)


def test_refuses_a_config_with_code_of_its_own(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "made")
    change_config(folder, auto_map={"AutoModel": "modeling.Own"})
    with pytest.raises(BadFile, match="auto_map"):
        check_folder("policy", folder)


def embedding(folder: Path, rows: int) -> None:
    entry = {"dtype": "BF16", "shape": [rows, 1], "data_offsets": [0, 2 * rows]}
    header = json.dumps({"model.embed_tokens.weight": entry}).encode()
    content = len(header).to_bytes(8, "little") + header + bytes(2 * rows)
    (folder / "model.safetensors").write_bytes(content)


@pytest.mark.parametrize(
    "tokenizer",
    [
        {"model": {"vocab": {"a": 0, "b": 3}}},
        {"model": {"vocab": [["a", 0.0]] * 4}},
        {"model": {"vocab": {"a": 0}}, "added_tokens": [{"id": 3}]},
    ],
)
def test_refuses_a_tokenizer_larger_than_the_embedding(
    tmp_path: Path, tokenizer: dict[str, object]
) -> None:
    folder = make_folder(tmp_path / "made")
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    embedding(folder, 4)
    check_folder("policy", folder)
    embedding(folder, 3)
    with pytest.raises(BadFile, match="knows token 3, but the model has 3 rows"):
        check_folder("policy", folder)


def test_refuses_an_embedding_of_another_size_than_configured(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "made")
    embedding(folder, 4)
    change_config(folder, vocab_size=5)
    with pytest.raises(BadFile, match="vocab_size 5 where"):
        check_folder("policy", folder)


@pytest.mark.parametrize("content", ["[]", "{", '{"model": {"vocab": {"a": null}}}'])
def test_refuses_a_tokenizer_that_cannot_be_read(tmp_path: Path, content: str) -> None:
    folder = make_folder(tmp_path / "made")
    (folder / "tokenizer.json").write_text(content)
    with pytest.raises(BadFile, match=r"tokenizer.json: "):
        check_folder("policy", folder)


def change_config(folder: Path, **fields: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
