from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.grading import numerals


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("18", Fraction(18)),
        ("-1/2", Fraction(-1, 2)),
        ("2 1/2", Fraction(5, 2)),
        ("-1 1/2", Fraction(-3, 2)),
        ("0.125", Fraction(1, 8)),
        (".5", Fraction(1, 2)),
        ("1.5e3", Fraction(1500)),
        (r"3\times10^{5}", Fraction(300_000)),
        ("5 million", Fraction(5_000_000)),
        ("12.5%", Fraction(25, 2)),
        ("5 cm^2", Fraction(5)),
        ("60 miles per hour", Fraction(60)),
    ],
)
def test_reads_a_number_exactly(text: str, value: Fraction) -> None:
    numeral = numerals.parse(text)
    assert numeral is not None
    assert numeral.value == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "2x",
        "6m",
        "2xy",
        "9^{9}",
        "9**9",
        "1/0",
        "1e999999999",
        "5 sqrt",
        "9" * 300,
        "29_8",
    ],
)
def test_anything_else_is_no_number(text: str) -> None:
    assert numerals.parse(text) is None


@given(st.integers(), st.integers())
def test_integers_are_equal_only_to_themselves(a: int, b: int) -> None:
    first, second = numerals.parse(str(a)), numerals.parse(str(b))
    assert first is not None
    assert second is not None
    assert numerals.equal(first, second) == (a == b)


@given(st.fractions(-(10**4), 10**4, max_denominator=1000), st.integers(min_value=10, max_value=16))
def test_a_fraction_equals_its_long_decimal(value: Fraction, digits: int) -> None:
    exact, decimal = numerals.parse(str(value)), numerals.parse(f"{float(value):.{digits}f}")
    assert exact is not None
    assert decimal is not None
    assert numerals.equal(exact, decimal)
    assert numerals.equal(decimal, exact)


@given(st.decimals(min_value=1, max_value=10**6, places=2), st.sampled_from([10, 100, 1000]))
def test_a_shifted_decimal_point_is_another_number(value: object, factor: int) -> None:
    amount = Fraction(str(value))
    one, other = numerals.parse(str(value)), numerals.parse(str(amount * factor))
    assert one is not None
    assert other is not None
    assert not numerals.equal(one, other)


def test_the_unit_at_the_end_of_an_expression_goes() -> None:
    assert numerals.without_unit(r"3\sqrt{2} cm^2") == r"3\sqrt{2}"
    assert numerals.without_unit("a in") == "a"
    assert numerals.without_unit("2m") == "2m"


@pytest.mark.parametrize(
    "text", ["9^{9^{9^{9}}}", "9**9**9", "2^{1000000}", "x^{9^9}", "1000000!", "factorial(1000000)"]
)
def test_powers_beyond_all_bounds_are_seen(text: str) -> None:
    assert numerals.is_explosive(text)


@pytest.mark.parametrize(
    "text", ["2^{1009}", "2^{2^{3}}", "x^2y^3", "(x^2)^3", "100!", "2^{k-1}", "0^0^0"]
)
def test_ordinary_powers_are_let_through(text: str) -> None:
    assert not numerals.is_explosive(text)
