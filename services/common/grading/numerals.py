r"""Numbers as answers are written, compared exactly.

Integers, decimals, fractions (`3/4`, `\frac{3}{4}`), mixed numbers (`2 1/2`), scientific notation,
percentages, digits with a base (`204_5`), number words for powers of a thousand, and a unit behind
any of them. Nothing is evaluated that could grow beyond what is written: powers are not numbers.
"""

import math
import re
from dataclasses import dataclass
from fractions import Fraction

_MAX_DIGITS = 200
_MAX_EXPONENT = 200

# A written decimal that is a rounding or a truncation of the other number equals it from this
# many significant digits and decimal places on: 0.333333 is 1/3, while 0.33 and $33.33 are not.
_ROUNDED_DIGITS = 6
_ROUNDED_PLACES = 4
# What binary floating point leaves behind: 17.999999999999996 is 18.
_NOISE = Fraction(1, 10**9)
_NOISE_DIGITS = 12

_NUMERAL = re.compile(
    r"""(?P<sign>[-+]?)\s*
    (?:
        (?P<whole>\d+)\s+(?P<top>\d+)\s*/\s*(?P<bottom>\d+)             # 2 1/2
      | (?P<numerator>\d*\.?\d+|\d+\.)\s*/\s*(?P<denominator>\d*\.?\d+)  # 3/4
      | (?P<digits>\d+)_\{?(?P<base>\d{1,2})\}?                         # 204_5
      | (?P<decimal>\d+\.?\d*|\.\d+)                                    # 3.5
        (?:\s*(?:[eE]|(?:\\times|\\cdot|\*|x)\s*10\s*(?:\^|\*\*))\s*\{?\(?(?P<exponent>[-+]?\d+)\)?\}?)?
    )
    (?:\s*(?P<percent>%|percent\b))?
    (?P<unit>\s*[A-Za-z][A-Za-z ./]*(?:\^\{?[23]\}?)?)?""",
    re.VERBOSE,
)

_EXPONENT_DIGITS = 5
_RAISED = r"(?:\^|\*\*)[\s{(]*"
_POWER = re.compile(
    rf"{_RAISED}(?P<exponent>\d+)(?:[\s)}}]*{_RAISED}(?P<above>\d+)(?P<higher>[\s)}}]*{_RAISED}\d)?)?"
)
_FACTORIAL = re.compile(r"\d{6,}[\s)}]*!|factorial\(\d{6,}|!\s*!")

_THOUSANDS = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}

# Spellings of one unit; two units that are both known and differ make two answers differ.
_UNITS = {
    spelling: spellings.split()[0]
    for spellings in (
        "mm millimeter millimeters millimetre millimetres",
        "cm centimeter centimeters centimetre centimetres",
        "m meter meters metre metres",
        "km kilometer kilometers kilometre kilometres",
        "in inch inches",
        "ft foot feet",
        "yd yard yards",
        "mi mile miles",
        "g gram grams",
        "kg kilogram kilograms",
        "lb lbs pound pounds",
        "oz ounce ounces",
        "s sec secs second seconds",
        "min mins minute minutes",
        "h hr hrs hour hours",
        "day days",
        "week weeks",
        "month months",
        "year years",
        "degree degrees",
        "cent cents",
        "dollar dollars usd",
    )
    for spelling in spellings.split()
}
_TRAILING_UNIT = re.compile(
    r"(?<=[\w})])\s+(?:"
    + "|".join(spelling for spelling in _UNITS if len(spelling) > 1)
    + r")(?:\s*\^\s*\{?[23]\}?)?\.?$"
)
# Letters right behind a number are as likely variables (6m, 2xy); words of four letters that no
# table knows are units only after a space.
_ATTACHED_UNIT = re.compile(r"[A-Za-z]{2}")
_UNKNOWN_UNIT = re.compile(r"\s[A-Za-z]{4}")
_NOT_UNITS = frozenset({"sqrt", "choose", "times", "theta", "alpha", "beta", "gamma"})


@dataclass(frozen=True, slots=True)
class Numeral:
    """A number as it was written.

    Attributes:
        value: its exact value; for a percentage the number before the sign.
        percent: whether a percent sign follows.
        digits: significant digits of a decimal that was written with a fractional part that is
            not zero; 0 for exact forms.
        places: digits after the point; 0 for exact forms.
        base: the base that was written, or None.
        unit: the unit in one spelling, the words as written where it is unknown, or "".
    """

    value: Fraction
    percent: bool = False
    digits: int = 0
    places: int = 0
    base: int | None = None
    unit: str = ""


def parse(text: str) -> Numeral | None:
    """Read a normalised answer that is one number; None where it is anything else."""
    if len(text) > _MAX_DIGITS:
        return None
    match = _NUMERAL.fullmatch(text.strip())
    if match is None:
        return None
    scale, unit = _unit(match["unit"] or "")
    value = _value(match)
    if unit is None or value is None:
        return None
    value *= -scale if match["sign"] == "-" else scale
    part = (match["decimal"] or "").partition(".")[2].rstrip("0")
    exponent = int(match["exponent"] or 0)
    significant = (match["decimal"] or "").replace(".", "").strip("0") if part else ""
    return Numeral(
        value=value,
        percent=match["percent"] is not None,
        digits=len(significant),
        places=max(0, len(part) - exponent) if part else 0,
        base=int(match["base"]) if match["base"] else None,
        unit=unit,
    )


def without_unit(expression: str) -> str:
    """An expression without the known unit of two or more letters that ends it."""
    return _TRAILING_UNIT.sub("", expression)


def is_explosive(expression: str) -> bool:
    """Whether an expression has a power or factorial that no one can write out: `9^{9^{9}}`.

    A screen over the text: what it lets through may still be too large.
    """
    for match in _POWER.finditer(expression):
        exponent, above, higher = match["exponent"], match["above"], match["higher"]
        digits = len(exponent) if above is None else int(above[:9]) * math.log10(int(exponent) or 1)
        if higher or digits > _EXPONENT_DIGITS:
            return True
    return _FACTORIAL.search(expression) is not None


def equal(a: Numeral, b: Numeral) -> bool:
    """Whether two numbers are the same answer.

    A percentage equals both its value and, the sign being a unit, the number before it: 50 %
    is 0.5 and 50, which differ. Known units must agree where both are given. A written base must
    agree where both are given.
    """
    known = all(numeral.unit.partition("^")[0] in _UNITS for numeral in (a, b))
    if known and a.unit != b.unit:
        return False
    if a.base is not None and b.base is not None and a.base != b.base:
        return False
    if _same(a, a.value, b, b.value):
        return True
    if a.percent == b.percent:
        return False
    return _same(a, a.value / 100 if a.percent else a.value, b, b.value / (100 if b.percent else 1))


def _same(a: Numeral, x: Fraction, b: Numeral, y: Fraction) -> bool:
    if x == y:
        return True
    gap = abs(x - y)
    if max(a.digits, b.digits) >= _NOISE_DIGITS and gap <= _NOISE * max(abs(x), abs(y)):
        return True
    return any(
        one.digits >= _ROUNDED_DIGITS
        and one.places >= _ROUNDED_PLACES
        and one.percent == other.percent
        and gap < Fraction(1, 10**one.places)
        for one, other in ((a, b), (b, a))
    )


def _value(match: re.Match[str]) -> Fraction | None:
    """The unsigned value; None for a zero denominator, a digit out of its base, a huge exponent."""
    if match["whole"]:
        top, bottom, whole = int(match["top"]), int(match["bottom"]), int(match["whole"])
        return whole + Fraction(top, bottom) if bottom else None
    if match["numerator"]:
        divisor = Fraction(match["denominator"])
        return Fraction(match["numerator"]) / divisor if divisor else None
    if match["digits"]:
        base = int(match["base"])
        in_base = base >= 2 and all(int(digit) < base for digit in match["digits"])
        return Fraction(int(match["digits"])) if in_base else None
    exponent = int(match["exponent"] or 0)
    return (
        Fraction(match["decimal"]) * Fraction(10) ** exponent
        if (abs(exponent) <= _MAX_EXPONENT)
        else None
    )


def _unit(written: str) -> tuple[int, str | None]:
    """The power of a thousand and the unit that words name; no unit (None) for an expression."""
    words, caret, power = written.strip().rstrip(".").lower().partition("^")
    power = caret + power.strip("{}")
    first, _, rest = words.partition(" ")
    if first in _THOUSANDS:
        return _THOUSANDS[first], _UNITS.get(rest.strip(), rest.strip())
    if not words:
        return 1, ""
    if words in _UNITS and (written[0].isspace() or _ATTACHED_UNIT.match(written)):
        return 1, _UNITS[words] + power
    unknown = _UNKNOWN_UNIT.match(written) and first not in _NOT_UNITS
    return 1, words + power if unknown else None
