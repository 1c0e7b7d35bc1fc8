import pytest

from services.common.steps import DELIMITERS
from services.policy.prompts import Bare
from tests.support.training import BEGIN, END, make_tokenizer, solution
from trainer.training.texts import lesson
from trainer.training.tokens import (
    IGNORED,
    TokenizerMismatch,
    add_delimiters,
    encode_judged,
    encode_lesson,
)

ROW = solution("p", "What is 1 + 1?", "print(1 + 1)", "2")


def learnt(tokenizer: object, ids: list[int], labels: list[int]) -> list[str]:
    """The stretches of text that are learnt."""
    stretches: list[list[int]] = [[]]
    for token, label in zip(ids, labels, strict=True):
        if label == IGNORED:
            stretches.append([])
        else:
            assert label == token
            stretches[-1].append(token)
    return [tokenizer.decode(one) for one in stretches if one]  # type: ignore[attr-defined]


@pytest.mark.parametrize("begins", [False, True])
def test_the_policy_learns_what_it_writes_and_nothing_else(begins: bool) -> None:
    tokenizer = make_tokenizer(begins=begins)
    add_delimiters(tokenizer)
    encoded = encode_lesson(tokenizer, lesson(ROW))
    assert learnt(tokenizer, encoded.ids, encoded.labels) == [
        "# Step 1: print(1 + 1)\n<end_of_code>",
        f"\\boxed{{2}}<end_of_answer>{END}",
    ]
    assert (tokenizer.decode(encoded.ids[0]) == BEGIN) is begins


@pytest.mark.parametrize("begins", [False, True])
def test_tokens_begin_with_those_of_the_prompts_that_serving_sends(begins: bool) -> None:
    tokenizer = make_tokenizer(begins=begins)
    add_delimiters(tokenizer)
    style, code = Bare(), [one.step for one in ROW.steps[:1]]
    ids = encode_lesson(tokenizer, lesson(ROW)).ids
    for steps in ([], code):
        prompt = tokenizer.encode(
            style.prompt(ROW.question, steps), add_special_tokens=style.special_tokens
        )
        assert ids[: len(prompt)] == prompt
    assert ids[:-1] == encode_judged(tokenizer, lesson(ROW).text)


def test_each_delimiter_becomes_one_token_that_decoding_keeps() -> None:
    tokenizer = make_tokenizer()
    before = len(tokenizer)
    new = add_delimiters(tokenizer)
    assert len(tokenizer) == before + len(DELIMITERS)
    for text, (token, spelling) in zip(DELIMITERS, new.items(), strict=True):
        assert tokenizer.encode(f"a{text}b", add_special_tokens=False)[1:-1] == [token]
        assert tokenizer.decode([token], skip_special_tokens=True) == text
        assert tokenizer.decode(spelling) == text
    assert add_delimiters(tokenizer) == {}


def test_a_tokenizer_that_joins_prompt_and_reply_is_refused() -> None:
    from tokenizers import Regex, pre_tokenizers

    tokenizer = make_tokenizer()
    vocabulary = tokenizer.get_vocab()
    model = tokenizer.backend_tokenizer.model
    joined = type(model)(vocab={**vocabulary, "\u010a#": len(vocabulary)}, merges=[("\u010a", "#")])
    tokenizer.backend_tokenizer.model = joined
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex("never"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    with pytest.raises(TokenizerMismatch, match="cut otherwise when continued"):
        encode_lesson(tokenizer, lesson(ROW))


def test_an_end_of_text_is_needed() -> None:
    tokenizer = make_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(TokenizerMismatch, match="no end-of-text token"):
        encode_lesson(tokenizer, lesson(ROW))
