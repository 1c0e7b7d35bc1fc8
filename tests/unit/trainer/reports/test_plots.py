from pathlib import Path

from trainer.reports.plots import Point, curves, reliability

PNG = b"\x89PNG\r\n\x1a\n"


def test_curves_are_written_as_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "curves.png"
    points = [Point(100, 0.2, 0.1, 0.3, "greedy"), Point(10, 0.1, 0.1, 0.2)]
    curves(path, {"a": points, "b": points[:1]}, x="tokens", y="share right", log=True)
    assert path.read_bytes().startswith(PNG)


def test_a_reliability_diagram_is_written_as_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "reliability.png"
    reliability(path, {"a": [(0.1, 0.2, 5), (0.9, 0.8, 1)], "none": []})
    assert path.read_bytes().startswith(PNG)
