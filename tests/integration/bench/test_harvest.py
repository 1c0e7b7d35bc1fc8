from pathlib import Path

from rstar.bench.harvest import Simulation, simulate


async def test_every_problem_is_done_once(tmp_path: Path) -> None:
    asked = Simulation(problems=60, workers=2, processes=1, kill=0.0, nodes=10, lease=10.0, seed=0)
    figures = await simulate(asked, tmp_path)
    assert (figures["done_once"], figures["done_twice"], figures["failed"]) == (60, 0, 0)
    assert figures["workers"] == 2
    assert figures["redis_bytes_per_item"] > 0
    assert figures["redis_bytes_done"] < figures["redis_bytes_fed"]
    assert not list((tmp_path / "harvest" / "staging").iterdir())


def test_a_share_of_the_workers_is_killed_by_whole_processes() -> None:
    asked = Simulation(10_000, workers=64, processes=32, kill=0.1, nodes=40, lease=10.0, seed=0)
    assert (asked.each, asked.kills) == (2, 3)
