from hypothesis import given
from hypothesis import strategies as st

from services.sandbox import control
from services.sandbox.control import Ready, Request

numbers = st.lists(st.integers(-(2**31), 2**31 - 1), max_size=control.MAX_PIDS)


@given(st.sampled_from(Request), numbers)
def test_a_request_is_read_as_it_was_written(request, pids):
    assert control.decode_request(control.encode_request(request, pids)) == (request, pids)


@given(numbers)
def test_an_answer_is_read_as_it_was_written(values):
    packet = control.encode_answer(values)
    assert control.decode_answer(packet) == values
    assert len(packet) <= control.MAX_PACKET_BYTES


def test_ready_is_read_as_it_was_written():
    ready = Ready({"sympy": "1.14"}, ["seccomp"], 2**33, listens=True)
    assert control.decode_ready(control.encode_ready(ready)) == ready
