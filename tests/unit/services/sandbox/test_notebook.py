import sys
from contextlib import contextmanager

import pytest

from services.sandbox.notebook import Notebook
from services.sandbox.wire import Ending


class FloodError(Exception):
    pass


@contextmanager
def own_interpreter():
    """The notebook takes over sys.stdout and __main__, as it may in a process of its own."""
    stdout, main = sys.stdout, sys.modules["__main__"]
    try:
        yield Notebook()
    finally:
        sys.stdout, sys.modules["__main__"] = stdout, main


def run(*steps: str, limit: int = 1000):
    def flooded(result):
        raise FloodError

    with own_interpreter() as notebook:
        return [notebook.run(step, limit, flooded) for step in steps][-1]


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("1 + 1", "2\n"),
        ("'a'", "'a'\n"),
        ("None", ""),
        ("x = 3", ""),
        ("x = 3\nx", "3\n"),
        ("print('a')", "a\n"),
        ("print('a')\n2", "a\n2\n"),
        ("1 / 3", "0.3333333333333333\n"),
        ("0.1 + 0.2", "0.30000000000000004\n"),
        ("1e400", "inf\n"),
        ("", ""),
        ("# only a comment", ""),
        ("for i in range(3): i", ""),
    ],
)
def test_shows_what_a_notebook_shows(code, shown):
    result = run(code)
    assert result.ending == Ending.OK
    assert result.output == shown


def test_state_carries_over():
    steps = (
        "import math\nx = 2\ndef f(y): return x * y\ng = (n * n for n in range(9))",
        "next(g); next(g)",
        "x = 5",
        "f(math.floor(2.5)), next(g)",
    )
    assert run(*steps).output == "(10, 4)\n"


@pytest.mark.parametrize(
    ("code", "error_type", "line"),
    [
        ("1/0", "ZeroDivisionError", 1),
        ("\n\nx = 1\nint('a')", "ValueError", 4),
        ("def f():\n    return 1/0\n\nf()", "ZeroDivisionError", 2),
        ("def f(:\n  pass", "SyntaxError", 1),
        ("x = 1\nif x:\ny", "IndentationError", 3),
        ("x = '\\ud800'\nx.encode()", "UnicodeEncodeError", 2),
        ("a = 1\0", "SyntaxError", 0),
        ("raise KeyboardInterrupt", "KeyboardInterrupt", 1),
        ("import sys\nsys.exit(3)", "SystemExit", 2),
        ("class E(BaseException): pass\nraise E('m')", "E", 2),
        ("return 1", "SyntaxError", 1),
    ],
)
def test_an_exception_tells_type_and_line(code, error_type, line):
    result = run(code)
    assert result.ending == Ending.ERROR
    # Python 3.11.4 and later raise SyntaxError for a null byte, earlier ones ValueError.
    assert result.error_type in (error_type, "ValueError")
    assert result.line == line


def test_the_line_is_of_the_step_that_runs_not_of_the_one_that_defined_the_function():
    result = run("\n\n\n\ndef f():\n    1/0", "x = 1\nf()")
    assert result.line == 2


def test_output_before_an_exception_is_kept():
    result = run("print('before')\n1/0")
    assert (result.output, result.message) == ("before\n", "division by zero")


def test_an_exception_that_cannot_be_printed_is_still_reported():
    result = run("class E(Exception):\n  def __str__(self): raise ValueError\nraise E")
    assert (result.error_type, result.line) == ("E", 3)


def test_running_out_of_memory_is_told_apart():
    assert run("raise MemoryError").ending == Ending.OUT_OF_MEMORY


def test_long_output_is_cut_and_marked():
    result = run("print('é' * 600)", limit=101)
    assert result.output == "é" * 50
    assert result.truncated


def test_endless_output_is_stopped():
    floods = []

    def flooded(result):
        floods.append(result)
        raise FloodError

    with own_interpreter() as notebook:
        notebook.run("while True: print('x' * 100)", 100, flooded)
    (result,) = floods
    assert result.ending == Ending.OUTPUT_LIMIT
    assert len(result.output) == 100


def test_classes_find_their_module():
    code = "from dataclasses import dataclass\n@dataclass\nclass A:\n    x: 'int' = 1\nA()"
    assert run(code).output == "A(x=1)\n"
