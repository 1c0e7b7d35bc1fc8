import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.grading import answers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"so \boxed{5}.", "5"),
        (r"\boxed{1} and then \boxed{2}", "2"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{ \{1, 2\} }", r"\{1, 2\}"),
        (r"\fbox{7}", "7"),
        (r"the result is $\boxed 5$", "5"),
        (r"\boxed{3} but \boxed{\frac{1}{", "3"),
        ("no box", None),
        ("", None),
    ],
)
def test_boxed_takes_the_last_complete_box(text: str, expected: str | None) -> None:
    assert answers.boxed(text) == expected


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("18", "18"),
        ("Number of eggs: 9\nMoney: 18\n\n", "18"),
        ("The answer is: 18", "18"),
        ("**Answer:** 18", "18"),
        ("Total: $18.00", "18.00"),
        ("The total cost is $1,234.50.", "1,234.50"),
        ("Janet makes $18 every day at the market.", "18"),
        ("The total is 45 dollars in 2 days.", "45"),
        ("x = 5", "5"),
        ("total_cost = 1,234", "1,234"),
        ("3 + 4 = 7", "7"),
        ("18 dollars", "18"),
        ("3/8 inch", "3/8"),
        ("20 minutes.", "20"),
        ("-$5", "-5"),
        ("np.float64(3.5)", "3.5"),
        ("'B'", "B"),
        ("The answer is B.", "B"),
        ("Ratio: 3:4", "3:4"),
        (r"The answer is \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        ("[[1 2]\n [3 4]]", "[[1 2] [3 4]]"),
    ],
)
def test_output_is_stripped_to_its_answer(output: str, expected: str) -> None:
    assert answers.from_output(output) == expected


@pytest.mark.parametrize(
    "answer",
    [
        *("[2, 3]", "(3, pi/2)", "{2, 3}", "{x: 5}", "[{x: 2, y: 3}]", "x = 2, y = 3", "3/4"),
        *("sqrt(2)/2", "x**2 + 2*x", "x + y = 7", "f(x) = x**2", "x > 2", "2 <= x < 5", "50%"),
        *("5 and 6", "2 pi", "3 to 1", "5 PM", "5 million", "12:30", "1.5e-05", "5!", "5 m"),
        *("Matrix([[1], [2]])", "Interval.open(2, 3)", "no solution", "x=5 or x=-3"),
        *("18 apples, 5 oranges", "2 hours 30 minutes", "-5", ".5", "True"),
    ],
)
def test_an_answer_that_stands_alone_stays_whole(answer: str) -> None:
    assert answers.from_output(answer) == answer


@pytest.mark.parametrize("output", ["", "\n \n", "None", "nan", "Answer:", "9" * 1001])
def test_output_without_an_answer(output: str) -> None:
    assert answers.from_output(output) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"So the answer is \boxed{5}, not 6.", "5"),
        ("work\n#### 1,234", "1,234"),
        ("The answer to the question is 15 dollars.\nWell done.", "15"),
        ("So x is 3.\n\nAnswer: 12", "12"),
        ("Together they have 12 apples.", "12"),
        ("", None),
    ],
)
def test_text_gives_its_answer(text: str, expected: str | None) -> None:
    assert answers.from_text(text) == expected


@pytest.mark.parametrize(
    ("answer", "form"),
    [
        (r"\left( 3, \frac{\pi}{2} \right)", r"(3,\frac{\pi}{2})"),
        (r"\dfrac{1}{2}", "1/2"),
        (r"2\frac12", "2 1/2"),
        (r"2^\frac12", r"2^\frac12"),
        ("1,234.50", "1234.5"),
        ("(1,234)", "(1,234)"),
        (r"2,\!000", "2000"),
        (r"\text{(B)}", "B"),
        (r"90^{\circ}", "90"),
        (r"\$5.00", "5"),
        (r"5\%", "5%"),
        ("+0.50", "0.5"),
        ("007", "7"),
        ("x_{10}", "x_{10}"),
        (r"\cot x", r"\cot x"),
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix}1\\2\end{pmatrix}"),
        ("$x^2 + 1$", "x^2+1"),
    ],
)
def test_normalize_gives_one_form(answer: str, form: str) -> None:
    assert answers.normalize(answer) == form


def test_a_box_larger_than_any_answer_is_none() -> None:
    assert answers.boxed("\\boxed{" + "9" * 1001 + "}") is None
    assert answers.boxed("\\boxed{" * 5000) is None


@given(st.text(alphabet=r"0123456789.,-+/%$ \{}()[]=:abexpiIs_^'*" + "\n", max_size=60))
def test_nothing_that_is_printed_breaks_the_reading(text: str) -> None:
    for read in (answers.boxed, answers.from_output, answers.from_text):
        found = read(text)
        assert found is None or isinstance(answers.normalize(found), str)


@given(st.integers())
def test_printed_integers_are_their_answer(number: int) -> None:
    assert answers.from_output(f"The total is {number}") == str(number)
    assert answers.normalize(f"{number:,}") == str(number)
