import pytest
from structlog.testing import capture_logs

from services.common.telemetry import warn_of_unknown
from services.sandbox.settings import SandboxSettings


def test_a_misspelt_setting_is_warned_of_without_its_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RSTAR_SANDBOX_MAX_QEUE", "value")
    with capture_logs() as lines:
        warn_of_unknown(SandboxSettings())
    (line,) = [line for line in lines if line["variable"] == "RSTAR_SANDBOX_MAX_QEUE"]
    assert (line["log_level"], line["meant"]) == ("warning", "RSTAR_SANDBOX_MAX_QUEUE")
    assert "value" not in line.values()
