"""The smallest real model, as it was fetched and converted on this machine."""

from typing import Any

import pytest

from services.common.models.store import ModelStore, StoredModel

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def tokenizer(smollm2: StoredModel) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(smollm2.path)


def test_is_in_the_store_whole(smollm2: StoredModel) -> None:
    assert ModelStore().open("policy", "smollm2-135m") == smollm2
    assert smollm2.manifest.source is not None
    # As large as the publisher's own safetensors file: 134,515,008 tied parameters in bf16.
    assert smollm2.manifest.files["model.safetensors"].size == 269_060_552


def test_special_tokens_have_their_published_ids(tokenizer: Any) -> None:
    assert tokenizer.encode("<|endoftext|><|im_start|><|im_end|>") == [0, 1, 2]
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id, len(tokenizer)) == (2, 2, 49152)
    digits = tokenizer.convert_ids_to_tokens(tokenizer.encode("12345"))
    assert digits == ["1", "2", "3", "4", "5"]


def test_transformers_alone_loads_it_and_it_knows_something(
    smollm2: StoredModel, tokenizer: Any
) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(smollm2.path)
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
    question = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = tokenizer.apply_chat_template(
        question, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    output = model.generate(**prompt, max_new_tokens=40, do_sample=False)[0]
    answer = tokenizer.decode(output[prompt["input_ids"].shape[1] :])
    assert "Paris" in answer
    assert answer.endswith("<|im_end|>")
