import pytest
import sympy
from latex2sympy2_extended.sets import FiniteSet

from services.common.grading import python_math

x = sympy.Symbol("x", real=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3*sqrt(2)/2", 3 * sympy.sqrt(2) / 2),
        ("-x**2 + 1", 1 - x**2),
        ("(3, pi/2)", sympy.Tuple(3, sympy.pi / 2)),
        ("{3, 2}", FiniteSet(2, 3)),
        ("[7]", sympy.Integer(7)),
        ("[]", sympy.S.EmptySet),
        ("[[1, 2], [3, 4]]", sympy.Matrix([[1, 2], [3, 4]])),
        ("Matrix([[1], [2]])", sympy.Matrix([1, 2])),
        ("{x: 5}", sympy.Eq(x, 5)),
        ("Interval.open(0, oo)", sympy.Interval.open(0, sympy.oo)),
        ("(2 < x) & (x < 5)", sympy.Interval.open(2, 5)),
        ("2 <= x < 5", sympy.Interval.Ropen(2, 5)),
        ("6 - 5*I", 6 - 5 * sympy.I),
        ("Rational(1, 3)", sympy.Rational(1, 3)),
    ],
)
def test_reads_what_programs_print(text: str, expected: object) -> None:
    assert python_math.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "(1).__class__",
        "open('/etc/passwd')",
        "[n for n in (1, 2)]",
        "lambda: 1",
        "x[0]",
        "'text'",
        "True",
        "total",
        "2x",
        "",
        "sqrt()",
        "Interval(1, 2, left_open=True)",
        "(" * 500,
    ],
)
def test_refuses_everything_else(text: str) -> None:
    with pytest.raises(python_math.Unreadable):
        python_math.parse(text)
