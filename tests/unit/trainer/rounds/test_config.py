from pathlib import Path
from typing import Any

import pytest
import yaml

from trainer.rounds.config import BadConfig, load

WHOLE: dict[str, Any] = {
    "name": "try",
    "folder": "run",
    "base": "lab-base",
    "bootstrap": {"module": "trainer.lab.solver", "settings_prefix": "lab_solver"},
    "harvest": {"problems": {"file": "train.jsonl"}},
    "evaluation": {"problems": {"file": "held_out.jsonl"}},
    "rounds": [{"guidance": "answer"}, {"guidance": "ppm", "ladder": [{"rollouts": 64}]}],
}


def written(where: Path, **changes: object) -> Path:
    path = where / "evolve.yaml"
    path.write_text(yaml.safe_dump(WHOLE | changes))
    return path


def searching(**options: object) -> dict[str, Any]:
    return {"problems": {"file": "some.jsonl"}, "search": {"options": options}}


def test_paths_start_from_the_files_own_folder(tmp_path: Path) -> None:
    config = load(written(tmp_path))
    assert config.folder == tmp_path / "run"
    assert config.harvest.problems.file == tmp_path / "train.jsonl"
    assert config.evaluation.problems.file == tmp_path / "held_out.jsonl"


def test_home_and_variables_are_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA", "/data")
    problems = {"problems": {"file": "$DATA/train.jsonl"}}
    config = load(written(tmp_path, harvest=problems, folder="~/runs/one"))
    assert config.harvest.problems.file == Path("/data/train.jsonl")
    assert config.folder == Path.home() / "runs" / "one"


def test_a_variable_that_is_not_set_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOWHERE", raising=False)
    with pytest.raises(BadConfig, match="NOWHERE"):
        load(written(tmp_path, folder="${NOWHERE}/one"))


def test_versions_are_named_by_round(tmp_path: Path) -> None:
    assert load(written(tmp_path)).version(3) == "try-r3"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"rounds": []}, "rounds"),
        (
            {"services": {"search": "a:1", "redis_url": "redis://c", "alias": "production"}},
            "services.alias: 'production' is also `alias`",
        ),
        ({"rounds": [{"guidance": "ppm"}]}, "rounds.0.guidance"),
        ({"rounds": [{"guidance": "luck"}]}, "rounds.0.guidance"),
        ({"rounds": [{"guidance": "answer", "ladder": [{"rollouts": 0}]}]}, "ladder.0.rollouts"),
        ({"bootstrap": {}}, "bootstrap"),
        ({"bootstrap": {"model": "a", "module": "b"}}, "bootstrap"),
        ({"policy": {"epochs": 0}}, "policy: epochs"),
        ({"policy": {"epoch": 1}}, "policy: epoch"),
        ({"ppm": {"base": "x"}}, "ppm: base"),
        ({"ppm": {"batch": 6, "micro_batch": 4}}, "micro_batch"),
        ({"selection": {"pairs": {"per_sid": 2}}}, "per_sid"),
        ({"selection": {"pairs": {"per_side": 0}}}, "per_side: at least 1 is wanted, not 0"),
        ({"selection": {"pairs": {"per_side": True}}}, "per_side: a whole number"),
        ({"selection": {"pairs": {"min_margin": -0.5}}}, "min_margin: at least 0"),
        ({"selection": {"solutions": {"per_problem": -1}}}, "per_problem: at least 1"),
        ({"selection": {"solutions": {"per_problem": 2.5}}}, "per_problem: a whole number"),
        ({"harvest": searching(candidate=4)}, "harvest.search.options: candidate=4"),
        ({"harvest": searching(candidates=65)}, "candidates: a number from 1 to 64"),
        ({"harvest": searching(candidates=2.5)}, "candidates: a number from 1 to 64"),
        ({"evaluation": searching(answer="loudest")}, "evaluation.search.options: answer"),
        (
            {"rounds": [{"guidance": "answer", "options": {"depth": 0}}]},
            "rounds.0.options: depth: a number from 1 to 64",
        ),
        ({"services": {"search": "here:1"}}, "redis_url"),
        ({"name": "No Name"}, "name"),
        ({"colour": 1}, "colour"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(BadConfig, match=field) as caught:
        load(written(tmp_path, **changes))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="absent"):
        load(tmp_path / "absent.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(BadConfig, match="mapping"):
        load(tmp_path / "list.yaml")


@pytest.mark.parametrize(
    "path",
    sorted((Path(__file__).resolve().parents[4] / "configs").glob("*.yaml")),
    ids=lambda path: path.stem,
)
def test_every_config_of_the_repository_is_valid(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RSTAR_DATA", "RSTAR_RUNS"):
        monkeypatch.setenv(name, "/data")
    assert load(path).rounds
