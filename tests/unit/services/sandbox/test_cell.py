"""Both ways to compile a step must agree: the quick one is only right where the tree is."""

import ast
import dis

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.sandbox import cell

APART = [
    "y = 1",
    "x = 2\nx",
    "x = 2\n\n# why\nx + 1  # shown\n\n",
    "for i in range(3):\n    x = i\nx",
    "if True:\n    x = 1\nelse:\n    x = 2\n\nx",
    "import math\nmath.pi",
    "'''a\nstring'''\nx = 5",
    "x = 1\nx -= 3",
    "x = 3\nx <= 3",
    "x = 3\nx == 3",
    "lambda x=1: x",
    "print('a = b', end='')",
    "(y := 5)",
]
TREE = [
    "",
    "# nothing",
    "f = dict(\na = 1)",
    "dict(\n    a=1\n)",
    "'''\nx'''",
    "x = 1; x",
    "x = \\\n1",
    "def f():\n    return 1",
    "if False:\n    pass\nelse: 1",
    "a, b = 1, 2",
    "x: int = 3",
    "*[1], 2",
    "from __future__ import annotations\nx = 1\nx",
    "x = 1\r\nx",
]
BROKEN = [
    "'''\nx = 1", "(\nx", "@d\nx", "x x", "  x", "x\0", "return 5", "(yield)", "await x",
    "x = (", "else", "None = 1", "if True:\nx", "x\\\n", "x = 1\n y", "try:\n    x = 1\nx",
]  # fmt: skip
LINES = st.sampled_from(
    [line for code in (*APART, *TREE, *BROKEN) for line in code.splitlines(keepends=True)]
    + [
        "    x\n",
        ")\n",
        "]\n",
        "'''\n",
        '"""',
        "\\\n",
        "\n",
        ":",
        "=",
        "x",
        " ",
        ";",
        "(",
        "# '''\n",
    ]
)


def both(code: str) -> tuple[object, object]:
    return outcome(cell.compile_cell, code), outcome(cell._compile_tree, code)


def outcome(compiled_by, code):
    """All that can be told of a program: how it reads, or where it does not."""
    try:
        compiled = compiled_by(code, "<step 1>")
    except (SyntaxError, ValueError) as error:
        return type(error), error.args
    shown = compiled.shown
    body = [line for program in compiled.body for line in instructions(program)]
    return body, shown and (shown.co_firstlineno and instructions(shown))


def instructions(program):
    end = ("RESUME", "RETURN_VALUE", "NOP")
    return [
        (one.opname, one.argrepr if "code object" not in one.argrepr else "", line(one))
        for one in dis.get_instructions(program)
        if one.opname not in end and (one.opname, one.argval) != ("LOAD_CONST", None)
    ]


def line(instruction):
    return instruction.positions and instruction.positions.lineno


@pytest.mark.parametrize("code", APART)
def test_a_last_line_of_its_own_is_compiled_apart(code):
    assert cell._compile_apart(code, "<step 1>") is not None
    assert_equal_results(code)


@pytest.mark.parametrize("code", [*TREE, *BROKEN])
def test_what_is_more_than_its_lines_is_not(code):
    assert cell._compile_apart(code, "<step 1>") is None


@given(st.lists(LINES, max_size=8).map("".join))
@example("x = 1\nif x: y = 2\nx")
def test_both_ways_give_the_same_program_or_the_same_error(code):
    quick, tree = both(code)
    assert quick == tree


def assert_equal_results(code):
    """Run it both ways: the same names, the same value shown."""
    results = []
    for compiled_by in (cell.compile_cell, cell._compile_tree):
        compiled = compiled_by(code, "<step 1>")
        names: dict[str, object] = {}
        for program in compiled.body:
            exec(program, names)  # noqa: S102 - the constants above
        shown = compiled.shown and eval(compiled.shown, names)  # noqa: S307 - the same
        results.append((sorted(names), repr(shown).partition(" at 0x")[0]))
    assert results[0] == results[1]
    is_expression = isinstance(ast.parse(code).body[-1], ast.Expr)
    assert (compiled.shown is not None) == is_expression
