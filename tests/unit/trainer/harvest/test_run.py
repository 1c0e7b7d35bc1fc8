from pathlib import Path

import pytest

from tests.support.harvests import begin, problems
from trainer.evaluation.methods import MAX_TOKENS
from trainer.harvest.run import PROBLEMS_FILE, BadRun, HarvestFolder, create


def test_items_are_problems_times_seeds(tmp_path: Path) -> None:
    folder = begin(tmp_path, 3, seeds=2, options={"candidates": 4}, seed=5)
    assert folder.settings.items == 6
    items = [folder.item(number) for number in range(6)]
    assert [item.problem for item in items] == [one for one in problems(3) for _ in range(2)]
    assert len({item.seed for item in items}) == 6
    assert all(item.request.search.seed == item.seed for item in items)
    assert {item.request.search.candidates for item in items} == {4}
    assert len({item.request.idempotency_key for item in items}) == 6
    with pytest.raises(IndexError):
        folder.item(6)


def test_the_answer_is_told_only_where_it_guides(tmp_path: Path) -> None:
    told = begin(tmp_path / "a", 1, terminal_guided=True).item(0).request
    untold = begin(tmp_path / "b", 1).item(0).request
    assert (told.ground_truth, untold.ground_truth) == ("7", "")


def test_the_same_harvest_is_opened_again(tmp_path: Path) -> None:
    first = begin(tmp_path, 3)
    assert begin(tmp_path, 3).settings == first.settings
    assert HarvestFolder(tmp_path).settings == first.settings


@pytest.mark.parametrize(
    ("count", "changes", "said"),
    [
        (4, {}, "problems, problems_digest"),
        (3, {"seed": 1}, "seed"),
        (3, {"budget": {"tokens": MAX_TOKENS}}, "budget"),
    ],
)
def test_another_harvest_in_the_folder_is_refused(
    tmp_path: Path, count: int, changes: dict[str, object], said: str
) -> None:
    begin(tmp_path, 3)
    with pytest.raises(BadRun, match=f"another {said};"):
        begin(tmp_path, count, **changes)


def test_two_harvests_alike_have_queues_of_their_own(tmp_path: Path) -> None:
    assert begin(tmp_path / "a", 3).settings.name != begin(tmp_path / "b", 3).settings.name


def test_a_queue_has_the_name_that_it_is_given(tmp_path: Path) -> None:
    assert begin(tmp_path / "a", 1, name="n.r.two").settings.name == "n.r.two"
    assert begin(tmp_path / "a", 1).settings.name == "n.r.two"
    with pytest.raises(BadRun, match="another name"):
        begin(tmp_path / "a", 1, name="n.r.three")
    with pytest.raises(BadRun, match="name"):
        begin(tmp_path / "b", 1, name="{another}")


def test_what_is_no_harvest_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadRun, match="no harvest"):
        HarvestFolder(tmp_path)
    begin(tmp_path, 2)
    (tmp_path / PROBLEMS_FILE).write_bytes(b"ARROW1")
    with pytest.raises(BadRun, match=PROBLEMS_FILE):
        HarvestFolder(tmp_path)


def test_a_harvest_cut_off_while_it_began_is_begun_again(tmp_path: Path) -> None:
    (tmp_path / PROBLEMS_FILE).write_bytes(b"half")
    assert create(tmp_path, problems(2), budget={"rollouts": 1}).settings.items == 2
