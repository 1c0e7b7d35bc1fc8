import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from trainer.evaluation.suites import SUITES, find
from trainer.problems.hub import NoData
from trainer.problems.problem import BadProblems


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"id": "a", "question": "q", "answer": "1"}) + "\n")
    return path


def test_the_papers_benchmarks_are_known() -> None:
    assert {"gsm8k", "math500", "math", "aime2024", "amc23", "olympiadbench", "collegemath"} <= set(
        SUITES
    )
    assert "gaokao2023en" in SUITES
    assert all(suite.licence and suite.dataset.count("/") == 1 for suite in SUITES.values())


def test_a_file_is_taken_by_its_path(tmp_path: Path) -> None:
    source = find(str(write(tmp_path / "mine.jsonl")), [])
    assert source.suite == "mine"
    assert [problem.id for problem in source.read()] == ["a"]


def test_a_benchmark_is_found_in_a_folder_or_its_eval_folder(tmp_path: Path) -> None:
    inner = write(tmp_path / "eval" / "gsm8k_dev.jsonl")
    assert find("gsm8k", [tmp_path]).path == inner
    outer = write(tmp_path / "gsm8k.jsonl")
    assert find("gsm8k", [tmp_path]).path == outer
    assert find("gsm8k", [tmp_path]).suite == "gsm8k"


def test_training_data_are_never_taken_for_a_benchmark(tmp_path: Path) -> None:
    write(tmp_path / "gsm8k_train.jsonl")
    write(tmp_path / "gsm8k_TRAIN-1.jsonl")
    assert find("gsm8k", [tmp_path]).path is None
    inner = write(tmp_path / "eval" / "gsm8k_dev.jsonl")
    assert find("gsm8k", [tmp_path]).path == inner
    assert find(str(tmp_path / "gsm8k_train.jsonl"), []).read()


def test_files_that_fit_equally_are_named(tmp_path: Path) -> None:
    write(tmp_path / "gsm8k_dev.jsonl")
    write(tmp_path / "gsm8k_test.jsonl")
    with pytest.raises(BadProblems, match="several files fit"):
        find("gsm8k", [tmp_path])


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(BadProblems, match=r"neither a file .* nor one of gsm8k"):
        find("gsm9k", [tmp_path])


def fake_hub(monkeypatch: pytest.MonkeyPatch, load: object) -> None:
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load))


def test_without_a_file_the_hub_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load(dataset: str, config: str | None, split: str) -> list[dict[str, object]]:
        asked.append((dataset, config, split))
        return [{"question": "q", "answer": "#### 1", "problem": "p", "solution": r"\boxed{2}"}]

    fake_hub(monkeypatch, load)
    assert [problem.answer for problem in find("gsm8k", []).read()] == ["1"]
    assert len(find("math", []).read()) == len(SUITES["math"].configs)
    assert find("someone/some-set", []).read()[0].question == "q"
    assert find("someone/some-set", []).suite == "someone--some-set"
    assert asked[0] == ("openai/gsm8k", "main", "test")
    assert asked[-1] == ("someone/some-set", None, "test")


def test_an_unreachable_hub_says_where_to_get_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object, **__: object) -> object:
        raise ConnectionError("no route")

    fake_hub(monkeypatch, load)
    with pytest.raises(NoData, match=r"https://huggingface\.co/datasets/openai/gsm8k"):
        find("gsm8k", []).read()
