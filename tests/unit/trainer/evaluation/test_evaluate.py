import json
from pathlib import Path

from trainer.evaluation.evaluate import Evaluation
from trainer.evaluation.suites import Source


def ids(path: Path, shuffle: int | None, limit: int | None) -> list[str]:
    source = Source("suite", path)
    asked = Evaluation([source], [], path.parent, "", limit, 1, 0.0, shuffle=shuffle)
    return [problem.id for problem in asked.problems(source)]


def test_problems_come_in_the_order_of_the_data_or_of_a_seed(tmp_path: Path) -> None:
    path = tmp_path / "suite.jsonl"
    names = [f"p{number}" for number in range(50)]
    lines = [json.dumps({"id": name, "question": name, "answer": "1"}) for name in names]
    path.write_text("\n".join(lines))
    assert ids(path, None, 3) == names[:3]
    shuffled = ids(path, 7, None)
    assert sorted(shuffled) == sorted(names)
    assert shuffled != names
    # A run that comes further begins with the same problems.
    assert ids(path, 7, 5) == shuffled[:5]
    assert ids(path, 8, 5) != shuffled[:5]
