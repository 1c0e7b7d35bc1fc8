"""Settings of an endpoint: what is refused, and that a key is never repeated."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from services.common import environment
from services.policy.endpoint.settings import BadKey, EndpointSettings

SECRET = "hunter2 hunter2"


def settings(**given: object) -> EndpointSettings:
    fields = {"url": "http://127.0.0.1:8000/v1/", "model": "m", **given}
    return EndpointSettings(**fields)  # type: ignore[arg-type]


def test_the_url_is_taken_without_its_last_slash() -> None:
    assert settings().url == "http://127.0.0.1:8000/v1"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", "localhost:8000/v1"),
        ("url", "ftp://host/v1"),
        ("url", f"http://user:{SECRET}@host/v1"),
        ("url", "https://host/v1?key=x"),
        ("api_key", SECRET),
        ("api_key", "clé"),
        ("model", ""),
    ],
)
def test_a_bad_field_is_named_and_not_repeated(field: str, value: str) -> None:
    with pytest.raises(ValidationError) as raised:
        settings(**{field: value})
    (line,) = environment.faults(EndpointSettings, raised.value)
    assert line.startswith(f"RSTAR_ENDPOINT_{field.upper()}: ")
    assert SECRET not in line


def test_the_key_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("sk-1\n")
    assert settings(api_key_file=file).key() == "sk-1"
    assert settings(api_key="sk-2").key() == "sk-2"
    assert settings().key() == ""
    with pytest.raises(ValidationError, match="either"):
        settings(api_key="sk-2", api_key_file=file)


@pytest.mark.parametrize("content", [b"", b"two words", "clé".encode(), None])
def test_a_file_without_a_key_is_refused(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BadKey):
        settings(api_key_file=file).key()
