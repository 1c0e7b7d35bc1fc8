"""Golden trees; tests/support/golden.py says what they hold and how they are written anew."""

import json
from pathlib import Path

import pytest

from tests.support import golden

FILES = sorted(Path(__file__).with_name("golden").glob("*.json"))


def test_every_expansion_and_guidance_is_covered() -> None:
    shapes = [json.loads(path.read_text())["config"] for path in FILES]
    covered = {(shape["expansion"], shape["guidance"]) for shape in shapes}
    guidances = ("ppm", "consistency", "ground_truth")
    assert covered == {(how, by) for how in ("step", "trajectory") for by in guidances}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_script_still_makes_the_same_trees(path: Path, request: pytest.FixtureRequest) -> None:
    kept = json.loads(path.read_text(encoding="utf-8"))
    if request.config.getoption("--regenerate-golden"):
        golden.write(path, kept)
        return
    made = golden.outcome(kept)
    assert {name: kept[name] for name in made} == made
