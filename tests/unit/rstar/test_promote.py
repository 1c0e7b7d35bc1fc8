"""Who moved an alias."""

import pwd
import socket

import pytest

from rstar.promote import who

USER = 10001


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(user: int) -> pwd.struct_passwd:
        raise KeyError(f"getpwuid(): uid not found: {user}")

    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("pwd.getpwuid", none)
    monkeypatch.setattr("os.getuid", lambda: USER)
    assert who() == f"{USER}@{socket.gethostname()}"
