"""Turn a GGUF file into a plain Hugging Face folder: safetensors in bf16, config, tokenizer.

`python -m services.common.models.gguf SOURCE TARGET` converts in a process of its own, which gives
all its memory back; tensors are streamed, so that it needs little more than the largest. Written
out for the two families in the catalog, llama and qwen2, because a general reader guesses what a
GGUF leaves unsaid: how digits are split, which ids are padding.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from services.common.models import bf16, bpe
from services.common.models.bf16 import Floats

# Tensor names of GGUF, and of transformers, inside block N and outside.
_BLOCK: Final = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_EMBEDDING: Final = "model.embed_tokens.weight"
_OUTPUT: Final = "lm_head.weight"
_WHOLE: Final = {
    "token_embd.weight": _EMBEDDING,
    "output_norm.weight": "model.norm.weight",
    "output.weight": _OUTPUT,
}
# What llama's GGUFs hold with its rows in another order.
_ROTARY: Final = ("q_proj.weight", "k_proj.weight")
_ARCHITECTURES: Final = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM"}
# Two quantisations of one matrix differ by a few per cent; two matrices by more than 100.
_SAME_MATRIX: Final = 0.15
_ROWS_AT_ONCE: Final = 8192


class UnsupportedModel(ValueError):  # noqa: N818
    """A GGUF that this converter does not know how to read faithfully."""


def convert(source: Path, target: Path) -> None:
    """Write the model in `source` to the folder `target`, made if need be.

    Raises:
        UnsupportedModel: another family, or a tensor that is not known.
        UnknownTokenizer: a tokenizer whose rules are not known.
    """
    from gguf import GGUFReader

    reader = GGUFReader(source)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    named, tied = _named(reader.tensors, str(fields["general.architecture"]))
    target.mkdir(parents=True, exist_ok=True)
    _write_json(target / "config.json", _config(fields, tied=tied))
    _write_json(target / "generation_config.json", _generation(fields))
    bpe.write(fields, target)
    # GGUF counts dimensions from the innermost.
    shapes = {name: tuple(map(int, tensor.shape[::-1])) for name, tensor in named.items()}
    values = (_values(name, tensor, fields) for name, tensor in named.items())
    bf16.write(target / "model.safetensors", shapes, values)


def _config(fields: dict[str, Any], *, tied: bool) -> dict[str, Any]:
    family = str(fields["general.architecture"])
    value = {k.removeprefix(f"{family}."): v for k, v in fields.items() if k.startswith(family)}
    config = {
        "architectures": [_ARCHITECTURES[family]],
        "model_type": family,
        "vocab_size": len(fields["tokenizer.ggml.tokens"]),
        "hidden_size": int(value["embedding_length"]),
        "intermediate_size": int(value["feed_forward_length"]),
        "num_hidden_layers": int(value["block_count"]),
        "num_attention_heads": int(value["attention.head_count"]),
        "num_key_value_heads": int(value["attention.head_count_kv"]),
        "max_position_embeddings": int(value["context_length"]),
        # float32 in the file: seven digits give back the number that was meant.
        "rms_norm_eps": float(f"{value['attention.layer_norm_rms_epsilon']:.6g}"),
        "rope_theta": float(value["rope.freq_base"]),
        "hidden_act": "silu",
        "attention_dropout": 0.0,
        "initializer_range": 0.02,
        "tie_word_embeddings": tied,
        "torch_dtype": "bfloat16",
        # Whose layout this is; without it transformers 5 suspects a faulty Mistral tokenizer.
        "transformers_version": "4.57.0",
        "use_cache": True,
        **_token_ids(fields),
    }
    if family == "qwen2":
        config["use_sliding_window"] = False
    return config


def _generation(fields: dict[str, Any]) -> dict[str, Any]:
    """Stop at the end of a turn and at the end of a text; no sampling defaults of our own."""
    ids = _token_ids(fields)
    tokens = fields["tokenizer.ggml.tokens"]
    ends = [ids["eos_token_id"]]
    if "<|endoftext|>" in tokens and tokens.index("<|endoftext|>") not in ends:
        ends.append(tokens.index("<|endoftext|>"))
    return {**ids, "eos_token_id": ends}


def _token_ids(fields: dict[str, Any]) -> dict[str, int]:
    names = {"bos": "bos_token_id", "eos": "eos_token_id", "padding": "pad_token_id"}
    return {to: int(fields[f"tokenizer.ggml.{name}_token_id"]) for name, to in names.items()}


def _named(tensors: Sequence[Any], family: str) -> tuple[dict[str, Any], bool]:
    """Tensors by their transformers names; and whether input and output embedding are one.

    A tied model's GGUF may hold its embedding twice at two precisions; the output's, which
    quantisers treat better, is kept for both.
    """
    if family not in _ARCHITECTURES:
        known = ", ".join(_ARCHITECTURES)
        raise UnsupportedModel(f"architecture {family!r}: must be one of {known}")
    named = {_name(tensor.name): tensor for tensor in tensors}
    output, embedding = named.get(_OUTPUT), named[_EMBEDDING]
    if output is None:
        return named, True
    if not _same(output, embedding):
        return named, False
    named[_EMBEDDING] = named.pop(_OUTPUT)
    return named, True


def _name(name: str) -> str:
    """The transformers name of a GGUF tensor."""
    if name in _WHOLE:
        return _WHOLE[name]
    match name.split("."):
        case ["blk", number, part, ("weight" | "bias") as end] if part in _BLOCK:
            return f"model.layers.{number}.{_BLOCK[part]}.{end}"
    raise UnsupportedModel(f"tensor {name!r} is not known")


def _same(one: Any, other: Any) -> bool:
    """Whether two tensors are quantisations of one matrix."""
    if tuple(one.shape) != tuple(other.shape):
        return False
    difference, norm = 0.0, 0.0
    for ours, theirs in zip(_rows(one), _rows(other), strict=True):
        difference += float(np.square(ours - theirs).sum())
        norm += float(np.square(ours).sum())
    return difference <= _SAME_MATRIX**2 * norm


def _rows(tensor: Any) -> Iterator[Floats]:
    """A tensor's rows in float32, some at a time: whole embeddings take a gigabyte."""
    from gguf import dequantize

    for start in range(0, len(tensor.data), _ROWS_AT_ONCE):
        rows = tensor.data[start : start + _ROWS_AT_ONCE]
        yield dequantize(rows, tensor.tensor_type).astype(np.float32, copy=False)


def _values(name: str, tensor: Any, fields: dict[str, Any]) -> Iterator[Floats]:
    """A tensor's numbers as transformers orders them."""
    if fields["general.architecture"] == "llama" and name.endswith(_ROTARY):
        heads = "head_count_kv" if "k_proj" in name else "head_count"
        whole = np.concatenate(list(_rows(tensor)))
        yield _unpermute(whole, int(fields[f"llama.attention.{heads}"]))
    else:
        yield from _rows(tensor)


def _unpermute(values: Floats, heads: int) -> Floats:
    """Rows of a rotary projection from interleaved pairs (GGUF) to two halves (transformers).

    Args:
        values: (heads * size, width).
        heads: how many heads the rows belong to.
    """
    rows, width = values.shape
    return values.reshape(heads, rows // heads // 2, 2, width).swapaxes(1, 2).reshape(rows, width)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Convert the file and into the folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    try:
        convert(arguments.source, arguments.target)
    except (UnsupportedModel, bpe.UnknownTokenizer) as error:
        sys.exit(f"{arguments.source.name}: {error}")


if __name__ == "__main__":
    main()
