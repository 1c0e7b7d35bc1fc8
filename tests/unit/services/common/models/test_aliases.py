import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from services.common.models.aliases import Aliases
from services.common.models.errors import AliasMoved, ModelDamaged, ModelError
from services.common.models.local import LocalBackend


@pytest.fixture
def aliases(tmp_path: Path) -> Aliases:
    return Aliases(LocalBackend(tmp_path))


def move(aliases: Aliases, version: str, expect: str | None, **more: Any) -> None:
    aliases.move("policy", "production", version, by="ann@desk", expect=expect, **more)


def test_no_alias_points_nowhere(aliases: Aliases) -> None:
    assert aliases.target("policy", "production") is None
    assert aliases.history("policy", "production") == []
    assert aliases.of("policy") == {}


def test_a_move_says_who_when_from_and_to(aliases: Aliases) -> None:
    move(aliases, "one", None)
    move(aliases, "two", "one", forced=True, reason="in a hurry")
    first, second = aliases.history("policy", "production")
    assert (first.before, first.version, first.by, first.forced) == (None, "one", "ann@desk", False)
    assert (second.before, second.version, second.reason) == ("one", "two", "in a hurry")
    assert second.forced
    assert second.at >= first.at
    assert aliases.target("policy", "production") == "two"
    assert aliases.target("ppm", "production") is None


def test_previous_follows_production_by_itself(aliases: Aliases) -> None:
    move(aliases, "one", None)
    assert aliases.target("policy", "previous") is None
    move(aliases, "two", "one")
    assert aliases.of("policy") == {"production": "two", "previous": "one"}
    with pytest.raises(ModelError, match="by itself"):
        aliases.move("policy", "previous", "one", by="me", expect="one")


def test_whoever_looked_too_long_ago_moves_nothing(aliases: Aliases) -> None:
    move(aliases, "one", None)
    move(aliases, "two", "one")
    with pytest.raises(AliasMoved, match="points to 'two', not to 'one'"):
        move(aliases, "three", "one")
    assert aliases.target("policy", "production") == "two"


@pytest.mark.parametrize("alias", ["../up", "", ".hidden", "a/b"])
def test_an_alias_is_named_as_versions_are(aliases: Aliases, alias: str) -> None:
    with pytest.raises(ModelError, match="named as versions are"):
        aliases.move("policy", alias, "one", by="me", expect=None)


def test_a_record_that_cannot_be_believed_is_named(aliases: Aliases, tmp_path: Path) -> None:
    move(aliases, "one", None)
    record = tmp_path / "aliases/policy/production/0000000001.json"
    record.write_text('{"version": "../../etc"}')
    with pytest.raises(ModelDamaged, match=r"production/0000000001.json: version"):
        aliases.target("policy", "production")


def race(root: Path, name: str, barrier: Any, outcomes: Any) -> None:
    aliases = Aliases(LocalBackend(root))
    barrier.wait(30)
    try:
        aliases.move("policy", "production", name, by=name, expect="one")
        outcomes.put(name)
    except AliasMoved:
        outcomes.put("")


def test_of_many_movers_at_once_one_wins(aliases: Aliases, tmp_path: Path) -> None:
    move(aliases, "one", None)
    context = multiprocessing.get_context("spawn")
    names = ["a", "b", "c"]
    barrier, outcomes = context.Barrier(len(names)), context.Queue()
    processes = [
        context.Process(target=race, args=(tmp_path, name, barrier, outcomes)) for name in names
    ]
    for process in processes:
        process.start()
    winners = [name for _ in names if (name := outcomes.get(timeout=60))]
    for process in processes:
        process.join(30)
    assert len(winners) == 1
    assert [one.version for one in aliases.history("policy", "production")] == ["one", *winners]
    assert not list(tmp_path.rglob(".*"))
