"""The model that is trained: loaded, given delimiters and adapters; at the end written plainly."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from trainer.training.settings import BadSettings, Lora, TrainingSettings
from trainer.training.tokens import add_delimiters

Head = Literal["language", "score"]


def load_tokenizer(base: Path) -> tuple[Any, dict[int, list[int]]]:
    """A model's tokenizer with the grammar's delimiters, and the new tokens among these.

    Raises:
        BadSettings: the folder holds none that is fast, or it has no token to pad with.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    if not tokenizer.is_fast:
        raise BadSettings(f"base: {base} has no tokenizer.json")
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise BadSettings(f"base: the tokenizer of {base} has no token to pad with")
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    return tokenizer, add_delimiters(tokenizer)


def load_model(
    base: Path,
    head: Head,
    tokenizer: Any,
    new: Mapping[int, Sequence[int]],
    *,
    layers: int = 0,
    dtype: str = "float32",
    attention: str | None = None,
) -> Any:
    """A model with a row in its vocabulary for each token.

    The row of a new token begins as the mean of those that its text was cut into. A score head
    begins small, as the paper's code has it, so that at first all scores are about equal.

    Args:
        base: a Hugging Face folder.
        head: of a language model, or one score a sequence.
        tokenizer: the model's, with the new tokens.
        new: see add_delimiters.
        layers: keep the first so many; 0 for all. The final norm is kept.
        dtype: of its weights; those that are trained should be float32.
        attention: transformers' name of an implementation; None for its own choice.

    Raises:
        BadSettings: it has fewer layers, or the attention cannot be had.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

    config = AutoConfig.from_pretrained(base)
    _cut(config, layers)
    config.pad_token_id = tokenizer.pad_token_id
    if head == "score":
        config.num_labels = 1
    kind = AutoModelForCausalLM if head == "language" else AutoModelForSequenceClassification
    scored = any("ForSequenceClassification" in name for name in config.architectures or ())
    try:
        model = kind.from_pretrained(
            base, config=config, dtype=getattr(torch, dtype), attn_implementation=attention
        )
    except ImportError as error:
        raise BadSettings(f"attention {attention}: {error}") from error
    model.config.use_cache = False
    if head == "score" and not scored:
        with torch.no_grad():
            model.score.weight.normal_(std=1e-3, generator=torch.Generator().manual_seed(0))
    _grow(model, len(tokenizer), new)
    return model


def add_adapters(model: Any, lora: Lora, head: Head, new: Mapping[int, Sequence[int]]) -> Any:
    """The model with low-rank adapters; they, the score head and new tokens' rows are trained.

    Raises:
        BadSettings: the model has no layers of the targets' names.
    """
    from peft import LoraConfig, TaskType, get_peft_model

    tied = bool(getattr(model.config, "tie_word_embeddings", False))
    rows = {"embed_tokens": sorted(new)}
    if head == "language" and not tied:
        rows["lm_head"] = sorted(new)
    config = LoraConfig(
        task_type=TaskType.CAUSAL_LM if head == "language" else TaskType.SEQ_CLS,
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets),
        trainable_token_indices=rows if new else None,
    )
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        raise BadSettings(f"lora: {error}") from error


def merge_adapters(model: Any, adapter: Path) -> Any:
    """The plain model with the adapters of a folder, as `save_pretrained` wrote it, added."""
    from peft import PeftModel

    return PeftModel.from_pretrained(model, adapter).merge_and_unload(safe_merge=True)


def write_model(model: Any, tokenizer: Any, settings: TrainingSettings, folder: Path) -> None:
    """Write a plain Hugging Face folder that transformers and vLLM load."""
    import torch
    from transformers import AutoConfig

    base = AutoConfig.from_pretrained(settings.base).dtype or torch.float32
    dtype = base if settings.save_as == "auto" else getattr(torch, settings.save_as)
    model.config.use_cache = True
    model.to(dtype).save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)


def computed_in(settings: TrainingSettings) -> str:
    """What the device computes in: bfloat16 or float32."""
    import torch

    if settings.precision != "auto":
        return settings.precision
    fits = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return "bfloat16" if fits else "float32"


def frozen_in(settings: TrainingSettings) -> str:
    """What weights that are not trained are kept in; FSDP wants one type for all."""
    return "float32" if settings.sharding == "fsdp" else computed_in(settings)


def _cut(config: Any, layers: int) -> None:
    if not layers:
        return
    if layers > config.num_hidden_layers:
        raise BadSettings(f"layers: {layers}, but the base has {config.num_hidden_layers}")
    config.num_hidden_layers = layers
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:layers]


def _grow(model: Any, tokens: int, new: Mapping[int, Sequence[int]]) -> None:
    """Make room for the new tokens; many vocabularies are padded and have it."""
    import torch

    known = model.get_input_embeddings().weight.shape[0]
    if tokens > known:
        model.resize_token_embeddings(tokens, mean_resizing=False)
    tables = [model.get_input_embeddings()]
    output = model.get_output_embeddings()
    if output is not None and output.weight is not tables[0].weight:
        tables.append(output)
    with torch.no_grad():
        for table in tables:
            # Not at random: the adapters' export makes the same rows again.
            table.weight[known:] = table.weight[:known].mean(dim=0)
            for token, spelling in new.items():
                table.weight[token] = table.weight[list(spelling)].mean(dim=0)
