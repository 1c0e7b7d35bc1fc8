import json
from pathlib import Path

import pytest

from services.search.page.site import Report, find_reports
from trainer.rounds import report
from trainer.rounds.evolve import read_round, round_folder
from trainer.rounds.progress import read_progress
from trainer.rounds.results import (
    Coverage,
    Evaluated,
    Harvested,
    Judged,
    Measured,
    RoundResult,
    Selected,
    Trained,
)
from trainer.rounds.stage import BadStage


def measured(accuracy: float) -> Measured:
    return Measured(
        n=100,
        accuracy=accuracy,
        ci95=(accuracy - 0.1, accuracy + 0.1),
        tokens_per_problem=400.0,
        failures=0,
        rules={"majority": accuracy},
        levels={"1": accuracy},
        run="runs/one",
    )


def result(number: int, accuracy: float) -> RoundResult:
    evaluated = Evaluated(
        policy=measured(accuracy), unguided=measured(accuracy), search=measured(accuracy + 0.05)
    )
    return RoundResult(
        round=number,
        version=f"<try>-r{number}",
        n=100,
        base_accuracy=0.1,
        base_ci95=(0.05, 0.2),
        policy_accuracy=accuracy,
        policy_ci95=evaluated.policy.ci95,
        search_accuracy=accuracy + 0.05,
        search_ci95=evaluated.search.ci95,
        unguided_accuracy=accuracy,
        unguided_ci95=evaluated.unguided.ci95,
        tokens_per_problem=400.0,
        unguided_tokens_per_problem=390.0,
        tokens=119_000,
        seconds=60.0,
        stage_seconds={"harvest": 40.0, "gate": 20.0},
        harvest=Harvested(
            folders=["harvest-1"],
            coverage={
                "": Coverage(problems=10, solved=5 + number),
                "1": Coverage(problems=10, solved=5 + number),
            },
            tokens=1_000,
            searches=10,
            failed=0,
        ),
        selection=Selected(solutions=12, groups=3, pairs={"step": 7}, dropped={"pairs: x": 1}),
        policy=Trained(version="p", rows={"train": 10}, metrics={"held_out_loss": 0.5}),
        ppm=Trained(
            version="p",
            rows={"train": 3},
            metrics={"pair_accuracy": 0.8, "pairs": 12.0, "brier": 0.2},
            reliability=[(0.25, 0.2, 5), (0.75, 0.8, 5)],
        ),
        evaluation=evaluated,
        gate=Judged(passed=True, reason="the first round"),
    )


def test_the_page_shows_every_round(tmp_path: Path) -> None:
    page = report.write("lab", [result(1, 0.4), result(2, 0.6)], tmp_path / "report")
    text = page.read_text()
    assert "40.0 %" in text
    assert "the base" in text
    assert "238,000 tokens" in text
    assert "65.0 %" in text
    assert "6 of 10" in text
    assert "&lt;try&gt;-r2" in text
    assert "<try>" not in text
    for name in (report.ACCURACY, report.COVERAGE, report.ROWS, report.PPM, report.RELIABILITY):
        assert name in text
        assert (page.parent / name).read_bytes().startswith(b"\x89PNG")


def test_the_search_service_finds_it(tmp_path: Path) -> None:
    report.write("lab", [result(1, 0.4)], tmp_path / "first")
    assert find_reports(tmp_path) == [
        Report(title="Evolution lab", path="reports/first/report.html")
    ]


def test_no_round_is_no_report(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no round"):
        report.write("lab", [], tmp_path)


def test_rounds_are_read_back(tmp_path: Path) -> None:
    assert read_round(tmp_path, 1) is None
    folder = round_folder(tmp_path, 1)
    folder.mkdir()
    (folder / "round.json").write_text(result(1, 0.5).model_dump_json())
    assert read_round(tmp_path, 1) == result(1, 0.5)


def test_a_damaged_round_is_named(tmp_path: Path) -> None:
    folder = round_folder(tmp_path, 1)
    folder.mkdir()
    (folder / "round.json").write_text('{"round": 1')
    with pytest.raises(BadStage, match=r"round-1/round\.json"):
        read_round(tmp_path, 1)


def test_progress_is_read_off_the_manifests(tmp_path: Path) -> None:
    folder = round_folder(tmp_path, 1)
    folder.mkdir()
    (folder / "harvest.json").write_text(json.dumps({"seconds": 12.5}))
    first, second = read_progress(tmp_path, 2)
    assert first.stages["harvest"] == 12.5
    assert first.stages["select"] is None
    assert set(second.stages.values()) == {None}
