"""Estimating what a candidate took that was cut off."""

from services.search.pace import Pace


def test_a_candidate_that_was_cut_off_is_taken_to_have_gone_at_the_pace_of_the_others() -> None:
    pace = Pace()
    assert pace.estimate(3.0, most=512) == 0, "nothing is known yet"
    pace.note(100, 2.0)
    pace.note(20, 2.0)
    assert pace.estimate(3.0, most=512) == 90
    assert pace.estimate(60.0, most=512) == 512
