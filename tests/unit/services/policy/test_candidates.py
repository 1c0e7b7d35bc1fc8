import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from services.policy.candidates import score, token_starts
from services.policy.prompts import Piece


@pytest.fixture(scope="module")
def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte of UTF-8."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={char: i for i, char in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=core)


def test_a_token_starts_where_the_text_before_it_ends(byte_tokenizer) -> None:
    tokens = byte_tokenizer.encode("a b\n")
    assert token_starts(byte_tokenizer, byte_tokenizer.encode("xyz"), tokens) == [0, 1, 2, 3]


def test_the_bytes_of_one_character_start_where_it_starts(byte_tokenizer) -> None:
    tokens = byte_tokenizer.encode("é=π")
    assert token_starts(byte_tokenizer, [], tokens) == [0, 0, 1, 2, 2]


def test_no_tokens(byte_tokenizer) -> None:
    assert token_starts(byte_tokenizer, [], []) == []


def test_tokens_go_to_the_step_in_which_they_begin() -> None:
    # One token ends the first step and reaches into the second: it is the first step's delimiter.
    first, second = score(
        [Piece(0, "one"), Piece(10, "two")], [0, 4, 9, 12, 15], [-1.0, -2.0, -3.0, -4.0, -6.0]
    )
    assert (first.text, first.tokens, first.mean_logprob) == ("one", 3, -2.0)
    assert (second.text, second.tokens, second.mean_logprob) == ("two", 2, -5.0)


def test_all_tokens_are_given_out() -> None:
    """Also those before the first step, and those of the delimiter after the last."""
    starts = list(range(0, 40, 3))
    steps = score([Piece(5, "a"), Piece(11, "b"), Piece(20, "c")], starts, [-0.5] * len(starts))
    assert sum(step.tokens for step in steps) == len(starts)
    assert {step.mean_logprob for step in steps} == {-0.5}


def test_a_step_without_tokens_of_its_own_has_no_log_probability_to_tell() -> None:
    """Two steps inside one token."""
    first, second = score([Piece(0, "a"), Piece(2, "b")], [0], [-1.0])
    assert (first.tokens, second.tokens, second.mean_logprob) == (1, 0, 0.0)
