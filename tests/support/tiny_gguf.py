"""A GGUF file of a few kilobytes: a llama or qwen2 with random weights and a byte-level BPE."""

from pathlib import Path
from typing import Any

import numpy as np

HIDDEN, INNER, LAYERS, HEADS, KV_HEADS, CONTEXT = 32, 64, 2, 4, 2, 128
ENDS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write_tiny_gguf(path: Path, family: str = "llama", **options: Any) -> dict[str, Any]:
    """Write the file; returns its tensors in float32 by GGUF name.

    Args:
        path: where.
        family: llama (SmolLM2's tokenizer rules) or qwen2.
        options: `output`: an output embedding, or "noisy" for the input one at lower precision;
            `extra`: tensors to add; `pre`: name of the pre-tokenizer.
    """
    import gguf

    writer = gguf.GGUFWriter(str(path), family)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    tokens, types, merges = _vocabulary(padding=5 if family == "qwen2" else 0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(options.get("pre", "smollm" if family == "llama" else "qwen2"))
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(tokens.index(ENDS[1]))
    writer.add_eos_token_id(tokens.index(ENDS[2]))
    writer.add_pad_token_id(tokens.index(ENDS[0]))
    writer.add_chat_template(TEMPLATE)
    tensors = _tensors(len(tokens), family)
    output = options.get("output")
    if output is not None:
        embedding = tensors["token_embd.weight"]
        noise = np.random.default_rng(1).normal(scale=1e-3, size=embedding.shape)
        noisy = (embedding + noise).astype(np.float32)
        tensors["output.weight"] = noisy if isinstance(output, str) else output(embedding)
    tensors.update(options.get("extra", {}))
    for name, tensor in tensors.items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tensors


def _vocabulary(padding: int) -> tuple[list[str], list[int], list[str]]:
    from tokenizers.pre_tokenizers import ByteLevel

    letters = sorted(ByteLevel.alphabet())
    merges = ["Ġ t", "h e", "Ġt he", "1 2"]
    tokens = [*ENDS, *letters, *(merge.replace(" ", "") for merge in merges)]
    tokens += [f"[PAD{i}]" for i in range(padding)]
    types = [3] * len(ENDS) + [1] * (len(tokens) - len(ENDS) - padding) + [5] * padding
    return tokens, types, merges


def _tensors(vocabulary: int, family: str) -> dict[str, Any]:
    random = np.random.default_rng(0)

    def matrix(rows: int, columns: int) -> Any:
        return random.normal(scale=0.2, size=(rows, columns)).astype(np.float32)

    size = HIDDEN // HEADS
    tensors = {"token_embd.weight": matrix(vocabulary, HIDDEN)}
    for layer in range(LAYERS):
        block = {
            "attn_norm.weight": np.ones(HIDDEN, np.float32),
            "attn_q.weight": matrix(HIDDEN, HIDDEN),
            "attn_k.weight": matrix(KV_HEADS * size, HIDDEN),
            "attn_v.weight": matrix(KV_HEADS * size, HIDDEN),
            "attn_output.weight": matrix(HIDDEN, HIDDEN),
            "ffn_norm.weight": np.ones(HIDDEN, np.float32),
            "ffn_gate.weight": matrix(INNER, HIDDEN),
            "ffn_up.weight": matrix(INNER, HIDDEN),
            "ffn_down.weight": matrix(HIDDEN, INNER),
        }
        if family == "qwen2":
            widths = {"q": HIDDEN, "k": KV_HEADS * size, "v": KV_HEADS * size}
            block |= {f"attn_{n}.bias": matrix(1, w)[0] for n, w in widths.items()}
        tensors |= {f"blk.{layer}.{name}": tensor for name, tensor in block.items()}
    tensors["output_norm.weight"] = np.ones(HIDDEN, np.float32)
    return tensors
