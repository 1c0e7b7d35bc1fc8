"""The tokenizer inside a GGUF file, written as transformers keeps one.

A GGUF names its pre-tokenizer and leaves the rules to the reader; the ones here are those of the
models' own tokenizer.json.
"""

import json
from pathlib import Path
from typing import Any, Final

_QWEN2_SPLIT: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# Token types of GGUF.
_CONTROL: Final = 3
_USER_DEFINED: Final = 4
_UNUSED: Final = 5


class UnknownTokenizer(ValueError):  # noqa: N818
    """A tokenizer whose rules are not known here."""


def write(fields: dict[str, Any], folder: Path) -> None:
    """Write tokenizer.json, tokenizer_config.json and chat_template.jinja.

    Args:
        fields: the file's metadata, by name.
        folder: where to write.

    Raises:
        UnknownTokenizer: not a byte-level BPE, or a pre-tokenizer that is not known.
    """
    value = {k.removeprefix("tokenizer.ggml."): v for k, v in fields.items()}
    tokens, types = value["tokens"], value["token_type"]
    if value["model"] != "gpt2" or value["pre"] not in {"qwen2", "smollm"}:
        raise UnknownTokenizer(f"tokenizer {value['model']!r} with {value['pre']!r} is not known")
    tokenizer = _tokenizer(tokens, types, value["merges"], value["pre"])
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {
        f"{ours}_token": tokens[value[f"{theirs}_token_id"]]
        for ours, theirs in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"), ("unk", "unknown"))
        if f"{theirs}_token_id" in value
    }
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_bos_token": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": int(fields[f"{fields['general.architecture']}.context_length"]),
        **special,
    }
    text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")
    template = fields["tokenizer.chat_template"]
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")


def _tokenizer(tokens: list[str], types: list[int], merges: list[str], pre: str) -> Any:
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
    from tokenizers import pre_tokenizers as split

    # Padding rows of the embedding are no tokens.
    vocabulary = {
        token: number
        for number, (token, kind) in enumerate(zip(tokens, types, strict=True))
        if kind != _UNUSED
    }
    pairs = [(left, right) for left, _, right in (merge.partition(" ") for merge in merges)]
    tokenizer = Tokenizer(models.BPE(vocabulary, pairs))
    if pre == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
        rules: list[Any] = [split.Split(Regex(_QWEN2_SPLIT), "isolated")]
    else:
        rules = [split.Digits(individual_digits=True)]
    rules.append(split.ByteLevel(add_prefix_space=False, use_regex=pre != "qwen2"))
    tokenizer.pre_tokenizer = split.Sequence(rules)
    tokenizer.decoder = decoders.ByteLevel()
    for token, kind in zip(tokens, types, strict=True):
        if kind in {_CONTROL, _USER_DEFINED}:
            added = AddedToken(token, normalized=False, special=kind == _CONTROL)
            tokenizer.add_tokens([added])
    return tokenizer
