import pytest

from trainer.evaluation.records import Failure, Record
from trainer.promotion import GateError, judge


def run(version: str, solved: set[int], *, of: int = 60, **changes: object) -> dict[str, Record]:
    fields: dict[str, object] = {
        "gold": "1",
        "seed": 0,
        "policy": version,
        "grader": "g",
        "settings_digest": "s",
        **changes,
    }
    return {
        str(n): Record(id=str(n), problem_digest=f"d{n}", correct=n in solved, **fields)
        for n in range(of)
    }


def verdict(new: set[int], old: set[int], **more: object) -> bool:
    return judge("policy", ("new", run("new", new)), ("old", run("old", old)), **more).passed


def test_equal_better_and_a_little_worse_pass() -> None:
    assert verdict(set(range(30)), set(range(30)))
    assert verdict(set(range(40)), set(range(30)))
    assert verdict(set(range(28)), set(range(30)))


def test_clearly_worse_is_refused() -> None:
    # Five problems lost and none won: p = 2^-5 = 0.031.
    assert not verdict(set(range(25)), set(range(30)))
    assert verdict(set(range(26)), set(range(30)))  # 2^-4 = 0.0625
    assert verdict(set(range(25)), set(range(30)), alpha=0.03)


def test_the_test_is_paired() -> None:
    """As many solved as before is no proof where they are others: only the discordant count."""
    found = judge(
        "policy", ("new", run("new", {*range(20, 50)})), ("old", run("old", {*range(30)}))
    )
    assert (found.only_candidate, found.only_baseline, found.p_worse) == (20, 20, 1.0)


@pytest.mark.parametrize(
    ("new", "said"),
    [
        (run("other", set()), "was answered by policy 'other'"),
        (run("new", set(), of=59), "not of the same problems"),
        (run("new", set(), grader="h"), "grader or settings"),
        (run("new", set(), ppm="q"), "more than the one model"),
        (run("new", set(), failure=Failure(code="X", details="")), "60 failures"),
        ({}, "no records"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(new: dict[str, Record], said: str) -> None:
    with pytest.raises(GateError, match=said):
        judge("policy", ("new", new), ("old", run("old", set())))


def test_a_handful_of_problems_proves_nothing() -> None:
    few = [run(version, set(), of=5) for version in ("new", "old")]
    with pytest.raises(GateError, match="30 are needed"):
        judge("policy", ("new", few[0]), ("old", few[1]))
