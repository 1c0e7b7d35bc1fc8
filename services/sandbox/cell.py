"""Compiles a step as a notebook does a cell: what is run, and the last expression, which is shown.

Standard library only, pure.
"""

import ast
from types import CodeType
from typing import Final, NamedTuple

# How no line begins that is an expression or assignment of its own: white space and closing
# brackets go on from the line before, what follows are comments, decorators and unpackings.
_NOT_BEGINNING: Final = frozenset(" \t)]}#@*")
# Of augmented assignments; shifts are left out, which would be mistaken for comparisons.
_OPERATORS: Final = "+-*/%@&|^ \t"


class Cell(NamedTuple):
    """A compiled step.

    Attributes:
        body: to be executed, one after the other.
        shown: the last expression, to be evaluated after them; None where the step ends otherwise.
    """

    body: tuple[CodeType, ...]
    shown: CodeType | None


def compile_cell(code: str, filename: str) -> Cell:
    """Compile a step's source; SyntaxError, or what else `compile` raises, where it does not parse.

    The tree of a program as Python objects, which tells the last statement apart, costs a fresh
    process as much as all the rest of a short step. Most steps end in one line that compiles on its
    own, as what is before it does: then the tree is not needed.
    """
    return _compile_apart(code, filename) or _compile_tree(code, filename)


def _compile_apart(code: str, filename: str) -> Cell | None:
    """The cell, where its last line is one whole statement by itself; None where it may not be."""
    text = code.rstrip(" \t\n")
    start = text.rfind("\n") + 1
    line = text[start:]
    if not line or line[0] in _NOT_BEGINNING or ";" in line:
        return None
    # Not lines to `str.count`, and what makes of two texts less than they are together.
    if "\r" in code or "\f" in code or "__future__" in code:
        return None
    # Lines keep their numbers.
    above = "\n" * text.count("\n", 0, start)
    is_assignment = _is_assignment(line)
    try:
        # If it compiles no bracket and no string is open before the line, which thus begins one.
        body = (_compile(text[:start], filename, "exec"),) if start else ()
        last = _compile(above + line, filename, "exec" if is_assignment else "eval")
    except (SyntaxError, ValueError):
        return None
    return Cell((*body, last), None) if is_assignment else Cell(body, last)


def _is_assignment(line: str) -> bool:
    """Whether a statement that begins so is NAME = ... or NAME op= ..., for sure."""
    name, equals, value = line.partition("=")
    is_other = not equals or value.startswith("=")
    return not is_other and name.rstrip(_OPERATORS).isidentifier()


def _compile_tree(code: str, filename: str) -> Cell:
    tree = ast.parse(code, filename)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    shown = None
    if isinstance(last, ast.Expr):
        shown = _compile(ast.Expression(last.value), filename, "eval")
    return Cell((_compile(tree, filename, "exec"),), shown)


def _compile(source: str | ast.Module | ast.Expression, filename: str, mode: str) -> CodeType:
    # dont_inherit: this module's own __future__ flags are not the step's.
    program: CodeType = compile(source, filename, mode, dont_inherit=True)
    return program
