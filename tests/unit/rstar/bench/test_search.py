"""The report of `rstar bench search`."""

from rstar.bench import search
from rstar.bench.search import problem

ROW = {
    "nodes": 1000,
    "nodes_per_second": 123.4,
    "seconds": 8.1,
    "request_seconds_p50": 7.5,
    "request_seconds_p99": 7.9,
    "answered": 1,
    "failed": 0,
    "faults": [],
    "redis_round_trips_per_node": 0.031,
    "redis_commands_per_node": 0.06,
    "bytes_per_node": 226,
    "cpu_ms_per_node": {"search": 1.25, "sandbox": 5.5},
    "wait_ms_per_node": {"policy": 20.5, "log": 0.1},
    "processors": {"accounted": 0.75, "other": 0.05, "idle": 0.08, "stolen": 0.12},
    "search_mib": 120,
}
BAD = ROW | {"nodes": 3000, "failed": 2, "faults": ["503: gone"], "bytes_per_node": 326}


def test_the_summary_weighs_levels_by_their_nodes() -> None:
    summary = search._summary({"levels": {"step": {"1": ROW, "8": BAD}}})
    assert summary["nodes_per_second"] == {"1": 123.4, "8": 123.4}
    assert summary["bytes_per_node"] == 301
    assert summary["redis_round_trips_per_node"] == 0.031
    assert summary["failed"] == 2


def test_the_text_shows_every_level_and_its_faults() -> None:
    report = {"levels": {"step": {"1": ROW, "8": BAD}}, "search_alone": {"1": ROW}}
    window = {
        "nodes": 5000,
        "nodes_per_second": 99.5,
        "redis_round_trips_per_node": 0.04,
        "bytes_per_node": 231,
    }
    text = search.render(search._summary(report) | report | {"growth": [window]})
    for shown in (
        "123.4",
        "226",
        "503: gone",
        "search 1.25, sandbox 5.5",
        "policy 20.5",
        "accounted 75%, other 5%, idle 8%, stolen 12%",
        "99.5",
        "64-79",
    ):
        assert shown in text


def test_growth_is_cut_into_windows_free_of_the_samples_own_reads() -> None:
    seen = [
        {"at": float(i), "nodes": 100.0 * i, "bytes": 5000.0 + 20_000 * i, "reads": 9 + 7.0 * i}
        for i in range(11)
    ]
    windows = search._windows(seen, nodes=1000, points=5)
    assert [one["nodes"] for one in windows] == [200, 400, 600, 800, 1000]
    for one in windows:
        assert one["nodes_per_second"] == 100.0
        assert one["redis_round_trips_per_node"] == 0.03
        assert one["bytes_per_node"] == 200


def test_a_problem_ends_by_its_nodes_and_has_a_seed_of_its_own() -> None:
    one, two = (problem(i, 500, "step", 9.0) for i in range(2))
    assert one["budget"] == {"rollouts": 10_000, "tokens": 500, "seconds": 9.0}
    assert one["search"]["seed"] != two["search"]["seed"]
