"""Settings that the service refuses to start with."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from services.search.settings import BadSettings, SearchSettings

KEY = "k" * 32
ANYWHERE = "0.0.0.0"  # noqa: S104 - what is to be refused


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_keys_may_be_off_where_nobody_else_reaches(host: str) -> None:
    assert SearchSettings(host=host).auth == "off"


@pytest.mark.parametrize("host", [ANYWHERE, "::", "10.0.0.7", "example.org", ""])
def test_elsewhere_keys_are_on_or_it_is_said_that_they_are_not(host: str) -> None:
    with pytest.raises(ValidationError, match="auth is off"):
        SearchSettings(host=host)
    assert SearchSettings(host=host, auth="keys").auth == "keys"
    assert SearchSettings(host=host, allow_public_without_auth=True).auth == "off"


def test_the_process_says_so_in_one_line() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "services.search"],
        env={"RSTAR_SEARCH_HOST": ANYWHERE, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert "auth is off" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_admin_key_comes_from_a_setting_or_a_file(tmp_path: Path) -> None:
    assert SearchSettings().read_admin_key() is None
    assert SearchSettings(admin_key=KEY).read_admin_key() == KEY
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    assert SearchSettings(admin_key_file=file).read_admin_key() == KEY
    assert KEY not in repr(SearchSettings(admin_key=KEY))
    with pytest.raises(BadSettings, match="at least 32"):
        SearchSettings(admin_key="short").read_admin_key()
    with pytest.raises(BadSettings, match="No such file"):
        SearchSettings(admin_key_file=tmp_path / "gone").read_admin_key()
