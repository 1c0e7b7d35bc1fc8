from pathlib import Path

from services.common.inference.last_good import LastGood


def reopened(folder: Path) -> LastGood:
    """As after a death."""
    return LastGood(folder, "policy", "store")


def test_remembers_what_was_served(tmp_path: Path) -> None:
    memory = reopened(tmp_path)
    assert memory.good is None
    memory.begin("one")
    memory.end("one", good=True)
    assert reopened(tmp_path).good == "one"
    assert reopened(tmp_path).deaths("one") == 0
    assert LastGood(tmp_path, "ppm", "store").good is None


def test_a_refused_version_is_no_death(tmp_path: Path) -> None:
    memory = reopened(tmp_path)
    memory.begin("two")
    memory.end("two", good=False)
    assert (reopened(tmp_path).good, reopened(tmp_path).deaths("two")) == (None, 0)


def test_a_death_in_loading_puts_the_last_good_one_first(tmp_path: Path) -> None:
    memory = reopened(tmp_path)
    memory.begin("one")
    memory.end("one", good=True)
    assert memory.order(["two", "one", "zero"]) == ["two", "one", "zero"]
    memory.begin("two")
    after = reopened(tmp_path)
    assert after.deaths("two") == 1
    assert after.order(["two", "one", "zero"]) == ["one", "zero", "two"]
    after.begin("two")
    assert reopened(tmp_path).deaths("two") == 2


def test_the_last_good_one_is_tried_before_older_ones(tmp_path: Path) -> None:
    memory = reopened(tmp_path)
    memory.begin("elsewhere")
    memory.end("elsewhere", good=True)
    assert memory.order(["three", "two"]) == ["three", "elsewhere", "two"]


def test_a_spoilt_file_is_as_good_as_none(tmp_path: Path) -> None:
    memory = reopened(tmp_path)
    memory.begin("one")
    memory.end("one", good=True)
    (path,) = tmp_path.iterdir()
    path.write_text("{")
    assert reopened(tmp_path).good is None


def test_a_folder_that_cannot_be_written_is_no_reason_to_fail(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    memory = reopened(tmp_path / "file")
    memory.begin("one")
    memory.end("one", good=True)
    assert memory.good == "one"
