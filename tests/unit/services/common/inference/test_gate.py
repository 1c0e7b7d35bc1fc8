import grpc
import pytest
from prometheus_client import Gauge

from services.common import rpc
from services.common.inference.gate import Gate


def gauge() -> Gauge:
    return Gauge("things", "Things.", registry=None)


def test_work_up_to_the_limit_is_let_in() -> None:
    shown = gauge()
    gate = Gate(3, "things", shown)
    with gate.hold(2), gate.hold(1):
        assert gate.held == shown._value.get() == 3
    assert gate.held == shown._value.get() == 0


def test_work_over_the_limit_is_refused_and_holds_nothing() -> None:
    gate = Gate(3, "things", gauge())
    with gate.hold(2):
        with pytest.raises(rpc.StatusError, match="2 of at most 3 things") as raised, gate.hold(2):
            pytest.fail("let in")
        assert raised.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert gate.held == 2


def test_failed_work_is_let_go() -> None:
    gate = Gate(1, "things", gauge())
    with pytest.raises(ZeroDivisionError), gate.hold(1):
        raise ZeroDivisionError
    assert gate.held == 0
