"""One log of many processes."""

import io
import json

from rstar.stack.journal import Journal


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_each_line_has_its_origin_before_it() -> None:
    stream = io.StringIO()
    journal = Journal(["redis", "sandbox"], stream)
    journal.line("redis", "one")
    journal.line("sandbox", "two")
    journal.say("ready", about="redis")
    journal.say("done")
    assert stream.getvalue().splitlines() == [
        "redis   | one",
        "sandbox | two",
        "rstar   | redis   ready",
        "rstar   | done",
    ]


def test_colours_are_for_terminals() -> None:
    stream = Terminal()
    Journal(["redis"], stream).line("redis", "one")
    assert stream.getvalue() == "\x1b[36mredis |\x1b[0m one\n"


def test_as_json_every_line_is_an_object() -> None:
    stream = io.StringIO()
    journal = Journal(["redis"], stream, form="json")
    journal.line("redis", "plain words")
    journal.line("redis", '{"event": "its own"}')
    journal.line("redis", "17")
    journal.say("ready", about="redis")
    first, second, third, fourth = map(json.loads, stream.getvalue().splitlines())
    assert (first["service"], first["event"]) == ("redis", "plain words")
    assert second == {"event": "its own"}
    assert third["event"] == "17"
    assert (fourth["service"], fourth["event"]) == ("rstar", "redis: ready")


def test_its_own_lines_are_announced() -> None:
    told: list[str] = []
    journal = Journal(["redis"], io.StringIO(), announce=told.append)
    journal.line("redis", "noise")
    journal.say("ready", about="redis")
    assert told == ["redis ready"]
