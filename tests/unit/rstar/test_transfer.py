import io

from rstar.transfer import TransferReporter


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_file_gets_a_line_every_tenth() -> None:
    out = io.StringIO()
    with TransferReporter(out) as reporter:
        reporter.say("fetching [x] from a source")
        for done in range(0, 1001, 7):
            reporter.progress(done * 1_000_000, 1_000_000_000)
        reporter.progress(1_000_000_000, 1_000_000_000)
    lines = out.getvalue().splitlines()
    assert lines[0] == "fetching [x] from a source"
    assert [line.split()[0] for line in lines[1:]] == [str(10 * i) for i in range(11)]
    assert lines[-1] == "  100 % (1000 of 1000 MB)"


def test_the_next_file_is_counted_from_its_start() -> None:
    out = io.StringIO()
    with TransferReporter(out) as reporter:
        reporter.progress(100, 100)
        reporter.say("another")
        reporter.progress(10, 100)
    assert [line.split()[0] for line in out.getvalue().splitlines()] == ["100", "another", "10"]


def test_a_terminal_gets_a_bar_that_ends() -> None:
    out = Terminal()
    with TransferReporter(out) as reporter:
        reporter.progress(50, 100)
        reporter.say("done with it")
        reporter.progress(100, 100)
    assert "50/100 bytes" in out.getvalue()
    assert out.getvalue().endswith("\x1b[?25h")  # the cursor is shown again
