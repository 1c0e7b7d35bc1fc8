"""`rstar bench engine`: what is counted of a round, and the report."""

from rstar.bench import engine
from rstar.bench.recorder import Drawn, spans
from services.common.pb.policy.v1 import policy_pb2

PLAN = engine.Plan(
    model="tiny",
    questions=["What?"],
    problems=2,
    warm_up=10.0,
    seconds=20.0,
    rounds=2,
    batch=8,
    candidate_tokens=64,
    search={"expansion": "step"},
)


CORES = {"policy": 1.8, "search": 0.05}
SHARES = {"accounted": 0.9, "other": 0.02, "idle": 0.05, "stolen": 0.03}


def half(*windows: tuple[float, float]) -> engine._Half:
    return engine._Half(list(windows), [CORES] * len(windows), [SHARES] * len(windows))


def test_only_what_is_drawn_in_the_counted_seconds_counts() -> None:
    request = policy_pb2.ProposeRequest()
    # Half before the first window, within it, half after it; the last one within the second.
    lives = ((0.0, 20.0), (15.0, 25.0), (20.0, 40.0), (50.0, 55.0))
    computed = spans([Drawn(request, 0, 100, *life) for life in lives], PLAN.batch)
    figures = engine._figures(half((10.0, 30.0), (50.0, 60.0)), computed)
    assert figures["tokens_by_round"] == [50 + 100 + 50, 100]
    assert (figures["tokens"], figures["seconds"]) == (300, 30.0)
    assert figures["tokens_per_second"] == 10.0
    # Those that ended there, and how many were in the engine at once.
    assert (figures["candidates"], figures["tokens_a_candidate"]) == (3, 100.0)
    assert figures["mean_computing"] == round((10 + 10 + 10 + 5) / 30, 1)
    assert figures["cores_used"] == CORES


def test_the_utilization_can_be_worked_out_from_what_is_reported() -> None:
    request = policy_pb2.ProposeRequest()
    lives = [(10.0 * i, 10.0 * i + 10.0) for i in range(4)]
    drawn = [
        Drawn(request, 0, tokens, *life)
        for tokens, life in zip((90, 100, 80, 100), lives, strict=True)
    ]
    computed = spans(drawn, PLAN.batch)
    searched = engine._figures(half((0.0, 10.0), (20.0, 30.0)), computed)
    searched |= {"failed": 1, "faults": ["503: gone"], "mean_in_flight": 90.1}
    batch = engine._figures(half((10.0, 20.0), (30.0, 40.0)), computed)
    report = engine._report(PLAN, searched, batch)
    assert report["engine_utilization"] == searched["tokens"] / batch["tokens"] == 0.85
    assert report["utilization_by_round"] == [0.9, 0.8]
    assert report["failed"] == 1
    text = engine.render(report)
    for shown in ("0.85", "0.9, 0.8", "8.5", "170", "200", "90.1", "policy 1.8", "503: gone"):
        assert shown in text
    assert "accounted 90%" in text
