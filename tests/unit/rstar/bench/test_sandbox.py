from rstar.bench import sandbox
from rstar.bench.sandbox import Sample

FIGURES = {
    "mode": "fork-tree",
    "steps_per_second": {"1": 250.0, "2": 480.0},
    "steps_per_second_full": {"1": 150.0, "2": 290.0},
    "cpu_ms_per_step": {"client": 0.5, "warden": 1.1, "all": 3.64},
    "cpu_ms_per_step_full": {"client": 0.6, "warden": 1.2, "all": 6.18},
    "processors": {"accounted": 0.75, "other": 0.05, "idle": 0.08, "stolen": 0.12},
    "prefix8_ms_p50": 5.5,
    "prefix8_over_prefix0": 1.1,
    "replay8_over_tree8": 12.0,
    "isolation_overhead": 0.1,
    "snapshot_mb": 3.2,
    "deadline_overshoot_ms_p50": 1.2,
    "teardown_100_s": 0.15,
    "milliseconds": {"tree, prefix 0": {"p50": 5.0, "quartiles": [4.0, 6.0], "n": 60}},
    "machine": {"cores": 2, "load": [0.1, 0.2, 0.3]},
}


def test_a_sample_gives_median_and_quartiles():
    sample = Sample([4.0, 1.0, 3.0, 2.0, 5.0])
    assert sample.p50 == 3.0
    assert sample.describe() == {"p50": 3.0, "quartiles": [1.5, 4.5], "n": 5}


async def test_variants_take_turns_and_the_first_round_is_not_counted():
    calls = []

    def variant(name, value):
        async def measure():
            calls.append(name)
            return value * len(calls)

        return measure

    samples = await sandbox.interleaved({"a": variant("a", 1), "b": variant("b", 1)}, 2)
    assert calls == ["a", "b"] * 3
    assert samples["a"].values == [3, 5]
    assert samples["b"].values == [4, 6]


def test_the_text_shows_every_figure():
    text = sandbox.render(FIGURES)
    for value in (
        "250.0, 480.0",
        "3.64",
        "6.18",
        "5.5",
        "1.1",
        "12.0",
        "0.1",
        "3.2",
        "1.2",
        "0.15",
        "fork-tree",
        "accounted 75%, other 5%, idle 8%, stolen 12%",
    ):
        assert value in text
    assert "(4.0 to 6.0)" in text


async def test_in_process_exec_is_timed():
    assert await sandbox.in_process(("x = 1",)) > 0
