import io

from rich.console import Console

from rstar.eval_view import View, comparison_text, rules_table, runs_table
from trainer.evaluation.records import Failure, Record, Usage
from trainer.evaluation.rules import Choice
from trainer.evaluation.summary import Comparison, summarise
from trainer.problems.problem import Problem


def record(identity: str, *, correct: bool = False, failure: Failure | None = None) -> Record:
    return Record(
        id=identity,
        problem_digest="d",
        gold="1",
        seed=1,
        correct=correct,
        usage=Usage(policy_tokens=80, seconds=2.0),
        failure=failure,
        grader="g",
        settings_digest="s",
    )


def test_without_a_terminal_the_last_state_is_printed_once() -> None:
    console = Console(file=io.StringIO(), force_terminal=False, width=120)
    with View(console) as view:
        view.begin("greedy", 3, [record("a", correct=True)])
        view.report(record("b", failure=Failure(code="INTERNAL", details="[broken]")))
        view.report(record("c"))
    assert console.file.getvalue().splitlines() == [
        "greedy: 1 of 3 are done already",
        "problem b: INTERNAL: [broken]",
        "greedy: 3/3 1 right, 80 tokens a problem",
    ]


def test_a_terminal_shows_a_bar() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with View(console) as view:
        view.begin("greedy", 2, [])
        view.report(record("a", correct=True))
    assert "1/2" in console.file.getvalue()
    assert "1 right" in console.file.getvalue()


def test_the_table_has_a_row_a_run() -> None:
    records = [record("a", correct=True), record("b")]
    summary = summarise(
        {"suite": "s", "method": "greedy"},
        [Problem("a", "q", "1"), Problem("b", "q", "1")],
        records,
        concurrency=1,
        dollars_per_million=0.0,
        out="",
    )
    console = Console(file=io.StringIO(), width=120)
    console.print(runs_table([summary]))
    assert console.file.getvalue().splitlines()[1].split() == [
        *("s", "greedy", "2", "50.0", "9.5", "-", "90.5", "50.0", "80", "2.0", "0")
    ]


def test_answer_rules_have_a_column_each() -> None:
    one = record("a").model_copy(update={"answer": "1"})
    one.rules = {
        "majority": Choice(answer="1", correct=True),
        "oracle": Choice(answer="1", correct=True),
    }
    summaries = [
        summarise(
            {"suite": "s", "method": method},
            [Problem("a", "q", "1")],
            records,
            concurrency=1,
            dollars_per_million=0.0,
            out="",
        )
        for method, records in (("mcts", [one]), ("greedy", [record("a")]))
    ]
    console = Console(file=io.StringIO(), width=120)
    console.print(rules_table(summaries))
    assert [line.split() for line in console.file.getvalue().splitlines()] == [
        ["suite", "method", "majority", "oracle"],
        ["s", "mcts", "100.0", "100.0"],
        ["s", "greedy"],
    ]


def test_a_comparison_names_what_was_won_and_lost() -> None:
    result = Comparison(
        n=4,
        first_accuracy=0.5,
        second_accuracy=0.75,
        difference=0.25,
        both=1,
        only_first=["a"],
        only_second=["b", "c"],
        p_value=1.0,
        left_out=3,
    )
    text = comparison_text(result, "greedy", "search")
    assert "difference +25.0%, McNemar's exact test p = 1" in text
    assert "only greedy: a" in text
    assert "only search: b c" in text
    assert "3 problems that only one of them has are left out" in text
