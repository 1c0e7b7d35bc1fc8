"""What a line of the log holds, in either form."""

import json
import logging
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog

from services.common import logs

SECRET = "What is 4711 + 1?"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Logging as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def fail() -> None:
    """Raise an error that quotes a request, itself caused by one that does, in a group."""
    try:
        try:
            int(SECRET)
        except ValueError as error:
            raise RuntimeError(f"cannot read {SECRET}") from error
    except RuntimeError as error:
        raise ExceptionGroup(f"several about {SECRET}", [error, KeyError(SECRET)]) from None


def said(capsys: pytest.CaptureFixture[str], form: Literal["console", "json"], quotes: bool) -> str:
    """What is logged of an error by a logger of ours and by one of a library."""
    logs.configure("search", form=form, quotes_errors=quotes)
    try:
        fail()
    except ExceptionGroup as error:
        logs.get("ours").error("rpc failed", method="Run", exc_info=error)
        logging.getLogger("asyncio").exception("not retrieved")
    return capsys.readouterr().err


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_traceback_names_places_and_types_and_quotes_only_where_asked(
    capsys: pytest.CaptureFixture[str], form: Literal["console", "json"]
) -> None:
    discreet = said(capsys, form, quotes=False)
    assert SECRET not in discreet
    for part in (
        "rpc failed",
        "not retrieved",
        "RuntimeError",
        "ValueError",
        "KeyError",
        "in fail",
    ):
        assert part in discreet
    assert SECRET in said(capsys, form, quotes=True)


def test_lines_are_json_where_that_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [json.loads(line) for line in said(capsys, "json", quotes=False).splitlines()]
    assert [line["event"] for line in lines] == ["rpc failed", "not retrieved"]
    assert {line["service"] for line in lines} == {"search"}
    assert (lines[0]["method"], lines[0]["level"]) == ("Run", "error")
    assert "timestamp" in lines[0]
