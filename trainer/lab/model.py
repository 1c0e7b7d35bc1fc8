"""The laboratory's language model: a small Llama with random weights, and its tokenizer."""

from dataclasses import dataclass
from pathlib import Path

from trainer.lab import tokenizer as words


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of the model.

    Attributes:
        hidden, layers, heads: of the transformer; hidden / heads must be a head size of vLLM.
        inner: width of the feed-forward layers.
    """

    hidden: int = 128
    layers: int = 4
    heads: int = 4
    inner: int = 352


def create(folder: Path, shape: Shape, seed: int) -> int:
    """Write a model of random weights, as a plain Hugging Face folder; its parameters."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = words.make()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        max_position_embeddings=words.CONTEXT_TOKENS,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    torch.manual_seed(seed)
    model = LlamaForCausalLM(config)
    # Rows of length one. The head is tied to them, so no logit exceeds a row's length times the
    # root of `hidden`: at the usual 0.02 a copied number, one of a thousand, could not stand out.
    torch.nn.init.normal_(model.model.embed_tokens.weight, std=shape.hidden**-0.5)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return int(sum(one.numel() for one in model.parameters()))
