"""What stopping early saves and costs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.evaluation.records import RatedAnswer, Record, Usage
from trainer.evaluation.stopping import NO_ANSWER, Poll, measure, polls, replay, simulated_polls


def test_what_is_settled_is_not_drawn() -> None:
    # Three of five agree: the other two cannot change it.
    assert replay(["a", "a", "a", "b", "b"], None) == (3, "a")
    assert replay(["a", "b", "a", "b", "a"], None) == (5, "a")


def test_a_threshold_stops_earlier_and_may_be_wrong() -> None:
    votes = ["b", "b", "b", "b", *["a"] * 9]
    assert replay(votes, None) == (11, "a")
    # 1 - 0.5 ** 5 is 0.969.
    assert replay(votes, 0.95) == (4, "b")
    assert replay(votes, 0.98) == (11, "a")


def test_samples_without_an_answer_are_drawn_and_do_not_vote() -> None:
    assert replay([NO_ANSWER, "a", NO_ANSWER, "a"], None) == (4, "a")
    assert replay([NO_ANSWER, NO_ANSWER], 0.5) == (2, NO_ANSWER)


@given(votes=st.lists(st.sampled_from(["a", "b", "c", NO_ANSWER]), min_size=2, max_size=20))
def test_settling_never_changes_an_answer(votes: list[str]) -> None:
    (outcome,) = measure([Poll(tuple(votes), frozenset("a"))], [None], orders=3, seed=1)
    assert outcome.changed == 0
    assert outcome.accuracy == outcome.full_accuracy


def test_a_lower_threshold_saves_more_and_changes_more() -> None:
    outcomes = measure(simulated_polls(200, 16, seed=3), [0.99, 0.9, 0.7], orders=2, seed=1)
    saved, changed = [one.saved for one in outcomes], [one.changed for one in outcomes]
    assert saved == sorted(saved)
    assert changed == sorted(changed)
    assert changed[0] < 0.02 < saved[0]


def test_votes_come_from_the_records_of_a_run() -> None:
    record = Record(
        id="1",
        problem_digest="d",
        gold="2",
        seed=0,
        grader="g",
        settings_digest="s",
        usage=Usage(rollouts=5),
        alternatives=[
            RatedAnswer(answer="2", weight=0.75, trajectories=3, correct=True),
            RatedAnswer(answer="4", weight=0.25, trajectories=1, correct=False),
        ],
    )
    lonely = record.model_copy(update={"usage": Usage(rollouts=1), "alternatives": []})
    assert polls([record, lonely]) == [Poll(("2", "2", "2", "4", NO_ANSWER), frozenset(["2"]))]


def test_the_simulation_is_what_its_assumptions_say() -> None:
    made = simulated_polls(3000, 10, seed=5)
    votes = [vote for poll in made for vote in poll.votes]
    assert votes.count(NO_ANSWER) / len(votes) == pytest.approx(0.1, abs=0.01)
    assert votes.count("right") / len(votes) == pytest.approx(0.45, abs=0.02)
    assert votes.count("wrong 1") > 1.5 * votes.count("wrong 2")
