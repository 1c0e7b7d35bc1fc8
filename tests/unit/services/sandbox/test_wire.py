import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sandbox import wire
from services.sandbox.wire import Ending, Result, Run

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=100)
results = st.builds(
    Result,
    st.sampled_from(Ending),
    texts,
    st.booleans(),
    texts,
    texts,
    st.integers(0, 2**32 - 1),
)


@given(texts, st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1))
def test_a_run_survives_the_wire(code, seed, limit):
    run = Run(code, seed, limit)
    assert wire.decode_command(wire.encode_run(run)) == run


def test_a_fork_carries_nothing():
    assert wire.decode_command(wire.encode_fork()) is None


@given(results)
def test_a_result_survives_the_wire(result):
    assert wire.decode_result(wire.encode_result(result), 1000) == result


@given(st.binary(max_size=300))
def test_any_bytes_are_a_result_within_limits_or_malformed(packet):
    try:
        result = wire.decode_result(packet, 10)
    except wire.Malformed:
        return
    assert len(result.output.encode()) <= 10
    assert len(result.error_type) <= wire.MAX_TYPE_CHARACTERS


@given(results, st.integers(0, 50))
def test_a_packet_cut_short_is_malformed(result, cut):
    packet = wire.encode_result(result)
    if cut < len(packet):
        with pytest.raises(wire.Malformed):
            wire.decode_result(packet[:cut], 1000)


def test_output_over_the_limit_is_cut_between_characters():
    result = Result(Ending.OK, "é" * 10)
    decoded = wire.decode_result(wire.encode_result(result), 5)
    assert decoded.output == "éé"
    assert decoded.truncated


def test_texts_of_an_error_are_cut():
    result = Result(Ending.ERROR, error_type="T" * 999, message="m" * 9999)
    decoded = wire.decode_result(wire.encode_result(result), 5)
    assert len(decoded.error_type) == wire.MAX_TYPE_CHARACTERS
    assert len(decoded.message) == wire.MAX_MESSAGE_CHARACTERS


def test_lone_surrogates_do_not_stop_a_result():
    decoded = wire.decode_result(wire.encode_result(Result(Ending.OK, "a\udc80b")), 100)
    assert decoded.output == "a?b"
