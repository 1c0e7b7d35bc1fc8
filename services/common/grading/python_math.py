"""Python and sympy text, as programs print it, turned into sympy objects without evaluating it.

`3*sqrt(2)/2`, `[2, 3]`, `{x: 5}`, `(2 < x) & (x < 5)`, `Interval.open(0, pi)`: the syntax tree is
walked and only what is listed here is built; nothing is looked up or called by name. Building can
still take for ever (`9**9**9**9`), so this belongs into a process that can be killed.
"""

import ast
import re
from collections.abc import Callable, Mapping
from typing import Any

import sympy
from latex2sympy2_extended.sets import FiniteSet

_CONSTANTS: Mapping[str, Any] = {
    "pi": sympy.pi,
    "E": sympy.E,
    "I": sympy.I,
    "oo": sympy.oo,
    "inf": sympy.oo,
    "EmptySet": sympy.S.EmptySet,
}

_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    **{
        name: getattr(sympy, name)
        for name in (
            *("sqrt", "cbrt", "root", "exp", "log", "ln", "Abs", "sign", "floor", "ceiling"),
            *("sin", "cos", "tan", "cot", "sec", "csc", "asin", "acos", "atan"),
            *("sinh", "cosh", "tanh", "factorial", "binomial", "Max", "Min"),
            *("Integer", "Rational", "Float", "Tuple", "Matrix", "Interval", "Union"),
            *("Eq", "Ne", "Lt", "Le", "Gt", "Ge", "And", "Or"),
        )
    },
    "abs": sympy.Abs,
    "ceil": sympy.ceiling,
    "Fraction": sympy.Rational,
    "FiniteSet": FiniteSet,
    "Interval.open": sympy.Interval.open,
    "Interval.Lopen": sympy.Interval.Lopen,
    "Interval.Ropen": sympy.Interval.Ropen,
}

_BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.Pow: lambda a, b: a**b,
    ast.Mod: sympy.Mod,
    ast.BitAnd: sympy.And,
    ast.BitOr: sympy.Or,
}

_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: sympy.Eq,
    ast.NotEq: sympy.Ne,
    ast.Lt: sympy.Lt,
    ast.LtE: sympy.Le,
    ast.Gt: sympy.Gt,
    ast.GtE: sympy.Ge,
}


_VARIABLE = re.compile(
    r"(?:[A-Za-z]|alpha|beta|gamma|delta|epsilon|theta|lambda|mu|phi|psi|rho|sigma|tau|omega)"
    r"(?:_?\d+|_[A-Za-z])?"
)


class Unreadable(ValueError):  # noqa: N818 - says what the text is
    """The text is not an expression that this module reads."""


def parse(text: str) -> Any:
    """The sympy object that `text` prints as; Unreadable where it is none.

    A list becomes a finite set that remembers its order (or, if its rows are lists, a matrix), a
    list of one element that element, a dict of solutions its equations, and conditions on one
    variable a set.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
        return _condition(_build(tree.body))
    except (SyntaxError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise Unreadable(f"no expression: {type(error).__name__}") from error


def _build(node: ast.expr) -> Any:
    match node:
        case ast.Constant() | ast.Name() | ast.UnaryOp() | ast.BinOp():
            return _term(node)
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            return _chain([left, *comparators], ops)
        case ast.Call(func=func, args=args, keywords=[]):
            return _call(ast.unparse(func), args)
        case ast.Tuple(elts=elements):
            return sympy.Tuple(*map(_build, elements))
        case ast.Set(elts=elements):
            return FiniteSet(*map(_build, elements))
        case ast.List(elts=elements):
            return _list(elements)
        case ast.Dict(keys=keys, values=values):
            return _solutions(keys, values)
    raise Unreadable(f"{type(node).__name__} is not read")


def _term(node: ast.Constant | ast.Name | ast.UnaryOp | ast.BinOp) -> Any:
    match node:
        case ast.Constant(value=bool()):
            raise Unreadable("a truth value")
        case ast.Constant(value=int(value)):
            return sympy.Integer(value)
        case ast.Constant(value=float(value)):
            return sympy.Float(repr(value))
        case ast.Name(id=name):
            return _CONSTANTS[name] if name in _CONSTANTS else _symbol(name)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_build(operand)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _build(operand)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _BINARY[type(op)](_build(left), _build(right))
    raise Unreadable(f"{type(node).__name__} is not read")


def _symbol(name: str) -> Any:
    """A variable, named as math-verify names it; a longer word is no variable's name."""
    if not _VARIABLE.fullmatch(name):
        raise Unreadable("a word")
    return sympy.Symbol(name.lower(), real=True)


def _call(name: str, args: list[ast.expr]) -> Any:
    function = _FUNCTIONS.get(name)
    if function is None:
        raise Unreadable("a call of an unknown function")
    if name == "Matrix" and len(args) == 1:
        return sympy.Matrix(_rows(args[0]))
    return function(*map(_build, args))


def _rows(node: ast.expr) -> list[Any]:
    if not isinstance(node, ast.List):
        raise Unreadable("a matrix without rows")
    return [
        [_build(cell) for cell in row.elts] if isinstance(row, ast.List) else _build(row)
        for row in node.elts
    ]


def _list(elements: list[ast.expr]) -> Any:
    rows = [element.elts for element in elements if isinstance(element, ast.List)]
    if len(rows) > 1 and len(rows) == len(elements):
        return sympy.Matrix([[_build(cell) for cell in row] for row in rows])
    built = [_build(element) for element in elements]
    if len(built) == 1:
        return built[0]
    return FiniteSet(*built) if built else sympy.S.EmptySet


def _solutions(keys: list[ast.expr | None], values: list[ast.expr]) -> Any:
    equations = [
        sympy.Eq(_build(key), _build(value), evaluate=False)
        for key, value in zip(keys, values, strict=True)
        if key is not None
    ]
    if not equations:
        raise Unreadable("an empty mapping")
    return equations[0] if len(equations) == 1 else FiniteSet(*equations)


def _chain(operands: list[ast.expr], ops: list[ast.cmpop]) -> Any:
    if not all(type(op) in _COMPARISONS for op in ops):
        raise Unreadable("a comparison that is no relation")
    built = [_build(operand) for operand in operands]
    relations = [
        _COMPARISONS[type(op)](a, b) for a, op, b in zip(built, ops, built[1:], strict=False)
    ]
    return relations[0] if len(relations) == 1 else sympy.And(*relations)


def _condition(built: Any) -> Any:
    """A conjunction or disjunction of conditions on one variable as the set that it describes."""
    if isinstance(built, sympy.And | sympy.Or) and len(built.free_symbols) == 1:
        return built.as_set()
    return built
