"""`rstar bench engine`: what is counted of a round, and the report."""

from rstar.bench import engine
from rstar.bench.recorder import Drawn
from services.common.pb.policy.v1 import policy_pb2

PLAN = engine.Plan(
    model="tiny",
    questions=["What?"],
    problems=2,
    warm_up=10.0,
    seconds=20.0,
    batch=8,
    candidate_tokens=64,
    search={"expansion": "step"},
)


def test_only_what_is_drawn_in_the_counted_seconds_counts() -> None:
    request = policy_pb2.ProposeRequest()
    # Half before the window, within it, half after it.
    spans = ((0.0, 20.0), (15.0, 25.0), (20.0, 40.0))
    drawn = [Drawn(request, 0, 100, *span) for span in spans]
    figures = engine._rate(PLAN, drawn, 10.0)
    assert figures["tokens_per_second"] == (50 + 100 + 50) / 20
    assert (figures["candidates"], figures["tokens_a_candidate"]) == (3, 100.0)


def test_the_text_has_both_rates_their_ratio_and_who_used_the_cores() -> None:
    figures = {
        "engine_utilization": 0.871,
        "problems": 16,
        "model": "tiny",
        "search": {
            "tokens_per_second": 61.2,
            "seconds": 60.0,
            "mean_in_flight": 90.1,
            "tokens_a_candidate": 24.5,
            "cores_used": {"policy": 1.8, "search": 0.05},
            "faults": ["503: gone"],
        },
        "plain_batch": {"tokens_per_second": 70.3, "seconds": 60.0},
        "machine": {"cores": 2, "load": [1.0, 1.0, 1.0]},
    }
    text = engine.render(figures)
    for shown in ("0.871", "61.2", "70.3", "90.1", "24.5", "policy 1.8", "503: gone"):
        assert shown in text
