import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.common.models import gguf
from services.common.models.weights import check_folder
from tests.support.tiny_gguf import ENDS, HEADS, HIDDEN, KV_HEADS, write_tiny_gguf

TEXT = "the 1212 theories\n\n  don't 数学 e\u0301 \\frac{1}{2}"


def converted(tmp_path: Path, family: str = "llama", **options: Any) -> tuple[Path, dict[str, Any]]:
    tensors = write_tiny_gguf(tmp_path / "tiny.gguf", family, **options)
    gguf.convert(tmp_path / "tiny.gguf", tmp_path / "made")
    return tmp_path / "made", tensors


def load(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder)


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_transformers_loads_the_folder_whole(tmp_path: Path, family: str) -> None:
    from transformers import AutoModelForCausalLM

    folder, tensors = converted(tmp_path, family)
    check_folder("policy", folder)
    model, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert str(model.dtype) == "torch.bfloat16"
    ours = model.model.layers[1].mlp.gate_proj.weight.float().detach().numpy()
    assert np.allclose(ours, tensors["blk.1.ffn_gate.weight"], rtol=2**-8)
    assert model.config.rms_norm_eps == 1e-5
    assert model.config.rope_parameters["rope_theta"] == 10000.0


def test_generation_stops_at_the_end_of_a_turn(tmp_path: Path) -> None:
    folder, _ = converted(tmp_path)
    assert load(folder).generation_config.eos_token_id == [2, 0]


def test_rotary_rows_of_llama_are_put_back(tmp_path: Path) -> None:
    folder, tensors = converted(tmp_path)
    attention = load(folder).model.layers[0].self_attn
    size = HIDDEN // HEADS
    for ours, name, heads in (
        (attention.q_proj, "attn_q", HEADS),
        (attention.k_proj, "attn_k", KV_HEADS),
    ):
        theirs = tensors[f"blk.0.{name}.weight"]
        for head in range(heads):
            for i in range(size):
                # Interleaved pairs: row 2j is number j of the first half, row 2j + 1 of the second.
                row = head * size + (i // 2 if i % 2 == 0 else size // 2 + i // 2)
                given = ours.weight[row].float().detach().numpy()
                assert np.allclose(given, theirs[head * size + i], rtol=2**-8)


def test_one_matrix_at_two_precisions_is_one_embedding(tmp_path: Path) -> None:
    folder, tensors = converted(tmp_path, "qwen2", output="noisy")
    model = load(folder)
    assert model.config.tie_word_embeddings
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
    ours = model.lm_head.weight.float().detach().numpy()
    assert np.allclose(ours, tensors["output.weight"], rtol=2**-8)


def test_two_matrices_stay_two(tmp_path: Path) -> None:
    folder, tensors = converted(tmp_path, output=lambda embedding: embedding[::-1].copy())
    model = load(folder)
    assert not model.config.tie_word_embeddings
    ours = model.lm_head.weight.float().detach().numpy()
    assert np.allclose(ours, tensors["output.weight"], rtol=2**-8)


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_the_tokenizer_keeps_text_and_special_tokens(tmp_path: Path, family: str) -> None:
    from transformers import AutoTokenizer

    folder, _ = converted(tmp_path, family)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = TEXT if family == "llama" else TEXT.replace("e\u0301", "é")
    assert tokenizer.decode(tokenizer.encode(TEXT)) == text
    assert tokenizer.encode("".join(ENDS)) == [0, 1, 2]
    assert (tokenizer.eos_token, tokenizer.pad_token) == (ENDS[2], ENDS[0])
    # "12" is in the vocabulary, and both families split digits before merging.
    assert len(tokenizer.encode("1212")) == 4
    assert not any("PAD" in token for token in tokenizer.get_vocab())
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "hi"}], tokenize=False, add_generation_prompt=True
    )
    assert prompt == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"


def test_an_unknown_family_is_refused(tmp_path: Path) -> None:
    write_tiny_gguf(tmp_path / "tiny.gguf", "falcon", pre="smollm")
    with pytest.raises(gguf.UnsupportedModel, match="'falcon': must be one of llama, qwen2"):
        gguf.convert(tmp_path / "tiny.gguf", tmp_path / "made")


def test_an_unknown_tensor_is_refused(tmp_path: Path) -> None:
    extra = {"blk.0.attn_q_norm.weight": np.ones(8, np.float32)}
    with pytest.raises(gguf.UnsupportedModel, match=r"blk\.0\.attn_q_norm\.weight"):
        converted(tmp_path, extra=extra)


def test_an_unknown_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(gguf.bpe.UnknownTokenizer, match="'strange'"):
        converted(tmp_path, pre="strange")


def test_the_config_says_what_the_file_says(tmp_path: Path) -> None:
    folder, _ = converted(tmp_path, "qwen2")
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["Qwen2ForCausalLM"]
    assert (config["hidden_size"], config["num_key_value_heads"]) == (HIDDEN, KV_HEADS)
    assert config["eos_token_id"] == 2
