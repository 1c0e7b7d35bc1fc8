"""Symbolic equality of two answers, by math-verify.

It can run for ever or eat all memory on a hostile answer: only `grader_worker`, which can be
killed, imports this module.
"""

import re
from typing import Any

import sympy
from latex2sympy2_extended import NormalizationConfig
from math_verify import LatexExtractionConfig, verify
from math_verify import parse as parse_latex

from services.common.grading import answers, numerals, python_math

# math-verify would take any letter behind a number for a unit, and then 6m equals 6.
_LATEX = [
    LatexExtractionConfig(
        normalization_config=NormalizationConfig(
            basic_latex=True,
            units=False,
            malformed_operators=True,
            nits=True,
            boxed="all",
            equations=False,
        )
    )
]

# What only Python prints, or LaTeX would read differently: powers by **, products by *, names of
# several letters.
_PYTHON_ONLY = re.compile(r"\*|(?<![\\A-Za-z])[A-Za-z]{2,}|\w\(|\{\w+:|&|\|")
# What math-verify does not read as it is meant. Some releases of benchmarks have lost the spaces
# behind commands (`\leqx`) and around words (`2or3`).
_REWRITES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"(?<![\\A-Za-z])pi(?![A-Za-z])", r"\\pi "),
        (r"(?<![\\A-Za-z])(?:oo|inf|infinity)(?![A-Za-z])", r"\\infty "),
        (
            r"\\([lg]eqslant|[lg]eq(?!slant)|cdot(?!s(?![A-Za-z]))|lfloor|lceil|angle)(?=[A-Za-z])",
            r"\\\1 ",
        ),
        (r"(?<=[\d})])\s*(?:and|or)\s*(?=[-+\d\\({])", ", "),
        (r"^\\?\{\s*[A-Za-z]\s*(?:\||\\mid(?![A-Za-z])|:)([^,]+?)\\?\}$", r"\1"),
    )
)


def equal(gold: str, answer: str) -> bool:
    """Whether `answer` is the reference answer `gold`; not symmetric (`x=5` accepts `5`)."""
    return _verify(_forms(gold, printed=False), _forms(answer, printed=True))


def same(a: str, b: str) -> bool:
    """Whether two answers of a model are the same, whichever of them is taken as reference."""
    forms_a, forms_b = _forms(a, printed=True), _forms(b, printed=True)
    return _verify(forms_a, forms_b) or _verify(forms_b, forms_a)


def _verify(gold: list[Any], answer: list[Any]) -> bool:
    # No timeout in here: math-verify's are signals, which miss what hangs inside one C call.
    return bool(verify(gold, answer, allow_set_relation_comp=True, timeout_seconds=None))


def _forms(text: str, *, printed: bool) -> list[Any]:
    """The readings of an answer: as LaTeX, and as what Python prints.

    A list in brackets is an interval in LaTeX and a list in Python: a reference means the first,
    an answer that a program printed may mean either.
    """
    cleaned = numerals.without_unit(answers.clean(text))
    python_only = "\\" not in cleaned and _PYTHON_ONLY.search(cleaned) is not None
    forms: list[Any] = []
    if "\\" not in cleaned and (printed or python_only):
        try:
            forms.append(python_math.parse(cleaned))
        except python_math.Unreadable:
            python_only = False
    if not python_only:
        forms.extend(_latex_forms(cleaned))
    return [_with_imaginary_unit(form) for form in forms]


def _with_imaginary_unit(form: Any) -> Any:
    """math-verify reads `i` as a variable; in an answer it is the imaginary unit."""
    if not isinstance(form, sympy.Basic | sympy.MatrixBase):
        return form
    units = {symbol: sympy.I for symbol in form.free_symbols if symbol.name == "i"}
    return form.xreplace(units) if units else form


def _latex_forms(cleaned: str) -> list[Any]:
    for pattern, replacement in _REWRITES:
        cleaned = pattern.sub(replacement, cleaned)
    forms: list[Any] = parse_latex(
        f"${cleaned}$",
        extraction_config=_LATEX,
        parsing_timeout=None,
    )
    return forms
