"""What steps find imported. Loaded once, by the zygote; nothing can be imported from disk later.

A C extension must be here, since no step may map executable memory. Pure Python modules that these
packages import lazily are brought in by running what needs them (`warm_up`).
"""

import importlib
import sys
from typing import TYPE_CHECKING, Final

from services.sandbox.kinds import Kind

if TYPE_CHECKING:
    from types import ModuleType

# Standard library: what mathematical programs reach for.
STANDARD: Final = (
    "abc", "array", "ast", "base64", "bisect", "calendar", "cmath", "collections",
    "collections.abc", "contextlib", "copy", "csv", "dataclasses", "datetime", "decimal",
    "difflib", "enum", "fractions", "functools", "graphlib", "hashlib", "heapq", "inspect", "io",
    "itertools", "json", "keyword", "locale", "math", "numbers", "operator", "pprint", "queue",
    "random", "re", "reprlib", "secrets", "statistics", "string", "struct", "sys", "textwrap",
    "time", "timeit", "traceback", "types", "typing", "unicodedata", "warnings", "zlib",
    "_strptime", "encodings.idna", "encodings.latin_1", "encodings.utf_16",
)  # fmt: skip

# Left out of light interpreters: what few steps use, each with a shared library of its own.
_NOT_LIGHT: Final = frozenset(
    {"base64", "csv", "encodings.idna", "hashlib", "queue", "secrets", "unicodedata", "zlib"}
)

LIGHT: Final = tuple(name for name in STANDARD if name not in _NOT_LIGHT)

PACKAGES: Final = ("mpmath", "numpy", "sympy")

SUBMODULES: Final = (
    "numpy.fft", "numpy.linalg", "numpy.ma", "numpy.polynomial", "numpy.random",
    "sympy.abc", "sympy.calculus.util", "sympy.combinatorics", "sympy.core.random",
    "sympy.functions.combinatorial.numbers", "sympy.geometry", "sympy.logic.boolalg",
    "sympy.ntheory", "sympy.ntheory.modular", "sympy.ntheory.residue_ntheory",
    "sympy.parsing.sympy_parser", "sympy.physics.units", "sympy.polys.polyfuncs",
    "sympy.sets", "sympy.solvers.diophantine", "sympy.solvers.inequalities",
    "sympy.solvers.ode", "sympy.stats", "sympy.utilities.iterables", "sympy.vector",
)  # fmt: skip

# Each runs without output and pulls in what its kind of problem imports on first use.
WARM_UP: Final = (
    "sympy.solve(x**2 - 5*x + 6, x)",
    "sympy.solve([x + y - 3, x - y - 1], [x, y])",
    "sympy.solve(sympy.sin(x) - sympy.Rational(1, 2), x)",
    "sympy.solveset(x**2 < 4, x, sympy.S.Reals)",
    "sympy.nsolve(sympy.cos(x) - x, x, 1)",
    "sympy.simplify(sympy.sin(x)**2 + sympy.cos(x)**2)",
    "sympy.expand((x + y)**3), sympy.factor(x**3 - 1), sympy.apart(1/(x**2 - 1), x)",
    "sympy.integrate(x*sympy.exp(x), x), sympy.integrate(sympy.exp(-x**2), (x, 0, sympy.oo))",
    "sympy.diff(sympy.tan(x), x), sympy.limit(sympy.sin(x)/x, x, 0), sympy.series(sympy.exp(x), x)",
    "sympy.summation(1/x**2, (x, 1, sympy.oo)), sympy.product(x, (x, 1, 5))",
    "sympy.Matrix([[1, 2], [3, 4]]).inv(), sympy.Matrix([[2, 0], [0, 3]]).eigenvals()",
    "sympy.factorint(360), sympy.divisors(60), list(sympy.primerange(2, 50)), sympy.totient(36)",
    "sympy.diophantine(3*n + 4*m - 5), sympy.ntheory.modular.crt([3, 5], [2, 3])",
    "sympy.Poly(x**4 - 1, x).nroots(), sympy.real_roots(x**3 - 2*x)",
    "sympy.nsimplify(0.25), sympy.sqrt(8).evalf(30), sympy.N(sympy.pi, 40)",
    "sympy.sympify('2*x + 1'), sympy.latex(x**2/2), sympy.pretty(x**2), repr(x**2)",
    "sympy.lambdify(x, sympy.sin(x)**2, 'numpy')(numpy.arange(3.0))",
    "sympy.lambdify(x, x + 1, 'math')(2)",
    "sympy.Triangle((0, 0), (1, 0), (0, 1)).area, sympy.Circle((0, 0), 2).area",
    "sympy.reduce_inequalities([x**2 - 4 < 0], x)",
    "sympy.Interval(0, 1).union(sympy.Interval(2, 3))",
    "sympy.binomial(10, 3), sympy.factorial(10), sympy.fibonacci(20), sympy.gcd(12, 18)",
    "sympy.rsolve(f(x + 1) - 2*f(x), f(x))",
    "sympy.dsolve(f(x).diff(x) - f(x))",
    "numpy.linalg.eig(numpy.eye(3)), numpy.linalg.solve(numpy.eye(3), numpy.ones(3))",
    "numpy.roots([1, -3, 2]), numpy.polyfit([0, 1, 2], [0, 1, 4], 2), numpy.random.rand(2)",
    "numpy.fft.fft(numpy.ones(4)), str(numpy.ones((2, 2))), numpy.float64(1) / 3",
    "mpmath.quad(mpmath.sin, [0, 1]), mpmath.findroot(lambda t: t**2 - 2, 1), mpmath.zeta(3)",
)  # fmt: skip


def load(kind: Kind) -> dict[str, str]:
    """Import all that a kind has; returns the version of each package by import name."""
    if kind == Kind.LIGHT:
        for name in LIGHT:
            importlib.import_module(name)
        return {}
    return _load_full()


def _load_full() -> dict[str, str]:
    # Of use to f2py alone, which no step can run; it brings in seven shared libraries.
    sys.modules["charset_normalizer"] = None  # type: ignore[assignment]  # "is not there"
    for name in (*STANDARD, *PACKAGES, *SUBMODULES):
        importlib.import_module(name)
    warm_up()
    return {name: str(importlib.import_module(name).__version__) for name in PACKAGES}


def warm_up() -> None:
    """Run WARM_UP. An example that fails is an error: the preload would be incomplete unnoticed."""
    modules: dict[str, ModuleType] = {name: importlib.import_module(name) for name in PACKAGES}
    plain = dict(zip("xy", modules["sympy"].symbols("x y"), strict=True))
    whole = dict(zip("nm", modules["sympy"].symbols("n m", integer=True), strict=True))
    function = modules["sympy"].Function("f")
    for example in WARM_UP:
        eval(example, {**modules, **plain, **whole, "f": function})  # noqa: S307 - the constants above
