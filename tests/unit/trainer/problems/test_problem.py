import pytest

from trainer.problems.problem import BadProblems, Problem, parse_problem


def parse(**fields: object) -> Problem:
    return parse_problem(fields, 7, "row 7")


def test_a_worked_solution_is_read_for_its_last_result() -> None:
    gsm8k = parse(question="q", answer="He has 2 * 600 = <<2*600=1200>>1,200.\n#### 1,200")
    assert gsm8k.answer.replace(",", "") == "1200"
    solution = r"First \boxed{1}, no, $\boxed{\frac{1}{2}}$."
    assert parse(problem="q", solution=solution).answer == r"\frac{1}{2}"


def test_an_answer_of_its_own_goes_before_the_worked_solution() -> None:
    row = {"problem": "q", "solution": r"\boxed{1}", "answer": "2"}
    assert parse(**row).answer == "2"
    assert parse(**row, final_answer=["3", "4"]).answer == "3, 4"


def test_numbers_are_written_as_people_write_them() -> None:
    assert parse(question="q", answer=27.0).answer == "27"
    assert parse(question="q", answer=0.5).answer == "0.5"
    assert parse(question="q", answer=204).answer == "204"


def test_capitals_of_field_names_do_not_matter() -> None:
    problem = parse(ID="2024-I-1", Problem="q", Answer="1", Level="Level 3", type="Algebra")
    assert problem == Problem("2024-I-1", "q", "1", "Level 3", "Algebra")


def test_a_row_without_an_id_is_named_by_its_number() -> None:
    assert parse(question="q", answer="1").id == "7"
    assert parse(id="", question="q", answer="1").id == "7"


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"question": "q", "answer": []}, "answer: must be text"),
        ({"question": "q", "final_answer": ["1", None]}, "final_answer: must be text"),
        ({"question": "q", "solution": "no result"}, "solution: a solution without"),
        ({"question": ["q"], "answer": {}}, "answer: must be text"),
    ],
)
def test_what_is_no_answer_is_named(fields: dict[str, object], complaint: str) -> None:
    with pytest.raises(BadProblems, match=f"row 7, {complaint}"):
        parse(**fields)


def test_the_digest_follows_question_and_answer() -> None:
    problem = Problem("a", "q", "1")
    assert problem.digest == Problem("b", "q", "1", "Level 5").digest
    assert problem.digest != Problem("a", "q", "2").digest
    assert problem.digest != Problem("a", "r", "1").digest
