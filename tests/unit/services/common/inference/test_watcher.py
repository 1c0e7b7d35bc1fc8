import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from services.common import rpc
from services.common.inference import last_good, watcher
from services.common.inference.admin import Admin
from services.common.inference.engine import EngineError
from services.common.inference.host import Loaded
from services.common.inference.last_good import LastGood
from services.common.inference.meters import ReloadMeters
from services.common.inference.settings import ModelSettings
from services.common.inference.watcher import Watcher, follow
from services.common.models.errors import ModelDamaged, ModelError, ModelNotFound, StoreUnreachable
from services.common.models.store import ModelStore
from tests.support.folders import make_folder
from tests.unit.services.common.inference.test_host import World

SETTINGS = ModelSettings(poll_seconds=3600)


class Place:
    """An alias, and what has been loaded."""

    def __init__(self) -> None:
        self.target: str | None = "one"
        self.down = False
        self.bad: set[str] = set()
        self.tried: list[str] = []
        self.loaded = asyncio.Event()

    async def look(self) -> str | None:
        if self.down:
            raise StoreUnreachable("down")
        return self.target

    async def load(self, version: str) -> Loaded:
        self.tried.append(version)
        if version in self.bad:
            raise EngineError("broken")
        self.loaded.set()
        return Loaded(version, "in_place")


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.fixture
def follower(place: Place) -> Watcher:
    return Watcher(SETTINGS, place.look, place.load)


async def test_loads_what_the_alias_points_to_once(place: Place, follower: Watcher) -> None:
    await follower.look()
    await follower.look()
    place.target = "two"
    await follower.look()
    assert place.tried == ["one", "two"]


async def test_an_alias_that_points_nowhere_changes_nothing(
    place: Place, follower: Watcher
) -> None:
    place.target = None
    await follower.look()
    assert place.tried == []


async def test_what_fails_is_not_tried_at_every_look(place: Place, follower: Watcher) -> None:
    place.bad = {"one"}
    for _ in range(5):
        await follower.look()
    assert place.tried == ["one"]
    place.target = "two"
    await follower.look()
    assert place.tried == ["one", "two"]


async def test_what_fails_is_tried_again_after_a_pause(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = Watcher(ModelSettings(poll_seconds=0.001), place.look, place.load)
    place.bad = {"one"}
    await follower.look()
    place.bad = set()
    async with asyncio.timeout(10):
        while not place.loaded.is_set():
            await asyncio.sleep(0.001)
            await follower.look()
    assert place.tried == ["one", "one"]


async def test_a_version_that_kills_the_process_is_left_alone(place: Place) -> None:
    follower = Watcher(
        SETTINGS, place.look, place.load, lambda version: 2 if version == "one" else 0
    )
    await follower.look()
    assert place.tried == []
    place.target = "two"
    await follower.look()
    assert place.tried == ["two"]


async def test_the_alarm_ends_where_the_alias_is_rolled_back(tmp_path: Path) -> None:
    """What the runbook tells an operator to do; the version is served already."""
    async with following(tmp_path) as world:
        world.no_proof.add("two")
        point(world, "two")
        await alarms(world, 1)
        point(world, "one")
        await alarms(world, 0)
        assert await world.serves() == "one"
        assert world.reloads[-2:] == ["two", "one"], "tried, and taken back"


async def test_what_is_left_alone_for_its_deaths_raises_the_alarm(tmp_path: Path) -> None:
    async with following(tmp_path) as world:
        for _ in range(last_good.MAX_DEATHS):
            world.host.memory.begin("two")
        point(world, "two")
        await alarms(world, 1)
        assert (await world.serves(), world.reloads) == ("one", [])
        point(world, "one")
        await alarms(world, 0)


async def test_an_alias_that_comes_back_is_followed_over_an_admins_wish(tmp_path: Path) -> None:
    async with following(tmp_path) as world:
        world.no_start.add("large")
        point(world, "large")
        await alarms(world, 1)
        await as_admin(world, "two")
        assert world.metric("reload_failing") == 1, "what the alias points to still fails"
        point(world, "one")
        async with asyncio.timeout(20):
            while await world.serves() != "one":
                await asyncio.sleep(0.005)
        await alarms(world, 0)


async def test_the_alarm_ends_where_an_admin_loads_what_the_alias_points_to(
    tmp_path: Path,
) -> None:
    async with following(tmp_path) as world:
        world.no_start.add("large")
        point(world, "large")
        await alarms(world, 1)
        world.no_start.clear()
        await as_admin(world, "large")
        await alarms(world, 0)


async def test_what_an_admin_asks_for_in_vain_raises_the_alarm_too(tmp_path: Path) -> None:
    async with following(tmp_path) as world:
        world.no_proof.add("two")
        with pytest.raises(rpc.StatusError, match="no numbers"):
            await as_admin(world, "two")
        assert world.metric("reload_failing") == 1
        with pytest.raises(rpc.StatusError, match="absent"):
            await as_admin(world, "absent")
        world.no_proof.clear()
        await as_admin(world, "two")
        assert world.metric("reload_failing") == 0


async def test_a_start_on_an_older_version_raises_the_alarm(tmp_path: Path) -> None:
    world = World(tmp_path)
    point(world, "one")
    point(world, "two")
    world.no_start.add("two")
    await watcher.start(world.host, "production")
    assert (await world.serves(), world.metric("reload_failing")) == ("one", 1)


class AdminCall:
    """The call of somebody who holds the token."""

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", "Bearer secret"),)


async def as_admin(world: World, version: str) -> None:
    """Ask for a version as `AdminService.Load` does."""
    admin = Admin(world.host, SecretStr("secret"))
    await admin.load(version, AdminCall())  # type: ignore[arg-type]  # a double


@contextlib.asynccontextmanager
async def following(folder: Path) -> AsyncIterator[World]:
    """A host that serves "one" and follows `production`, which points there."""
    world = World(folder, poll_seconds=0.01)
    point(world, "one")
    await world.host.load("one")
    task = asyncio.create_task(follow(world.host, "production", world.settings))
    try:
        yield world
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def point(world: World, version: str) -> None:
    before = world.store.aliases.target("policy", "production")
    world.store.aliases.move("policy", "production", version, by="test", expect=before)


async def alarms(world: World, value: int) -> None:
    """Return once the alarm metric has a value."""
    async with asyncio.timeout(20):
        while world.metric("reload_failing") != value:
            await asyncio.sleep(0.005)


async def test_a_store_that_is_down_is_no_end(place: Place, follower: Watcher) -> None:
    place.down = True
    await follower.look()
    place.down = False
    await follower.look()
    assert place.tried == ["one"]


async def test_a_nudge_is_not_waited_for(place: Place, follower: Watcher) -> None:
    running = asyncio.create_task(follower.run("one"))
    place.target = "two"
    follower.nudge()
    async with asyncio.timeout(10):
        await place.loaded.wait()
    assert place.tried == ["two"]
    running.cancel()


class FakeHost:
    """A host that loads by name; some names are bad."""

    kind = "policy"

    def __init__(self, store: ModelStore, memory: LastGood, *bad: str) -> None:
        self.store = store
        self.memory = memory
        self.bad = bad
        self.tried: list[str] = []
        self.meters = ReloadMeters("policy", CollectorRegistry())

    async def load(self, version: str) -> Loaded:
        self.tried.append(version)
        if version in self.bad:
            raise ModelDamaged(version)
        return Loaded(version, "started")


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    made = ModelStore(tmp_path / "store")
    for version in ("one", "two"):
        folder = make_folder(tmp_path / "made")
        made.publish("policy", version, folder, licence="MIT", prompt_style="bare")
    made.aliases.move("policy", "production", "one", by="me", expect=None)
    made.aliases.move("policy", "production", "two", by="me", expect="one")
    return made


async def begin(host: FakeHost, name: str, **more: bool) -> str | None:
    return await watcher.start(host, name, **more)  # type: ignore[arg-type]  # a double


async def test_starts_with_the_version_that_is_named(store: ModelStore, tmp_path: Path) -> None:
    host = FakeHost(store, LastGood(tmp_path))
    assert await begin(host, "one") is None
    assert host.tried == ["one"]


async def test_starts_with_what_the_alias_points_to(store: ModelStore, tmp_path: Path) -> None:
    host = FakeHost(store, LastGood(tmp_path))
    assert await begin(host, "production") == "production"
    assert host.tried == ["two"]


async def test_falls_back_to_what_the_alias_pointed_to(store: ModelStore, tmp_path: Path) -> None:
    host = FakeHost(store, LastGood(tmp_path), "two")
    assert await begin(host, "production") == "production"
    assert host.tried == ["two", "one"]
    with pytest.raises(ModelDamaged, match="two"):
        await begin(FakeHost(store, LastGood(tmp_path), "two", "one"), "production")


async def test_after_a_death_the_last_good_one_comes_first(
    store: ModelStore, tmp_path: Path
) -> None:
    memory = LastGood(tmp_path)
    memory.begin("one")
    memory.end("one", good=True)
    memory.begin("two")
    host = FakeHost(store, memory)
    await begin(host, "production")
    assert host.tried == ["one"]


async def test_an_alias_may_point_nowhere_yet_where_that_is_allowed(
    store: ModelStore, tmp_path: Path
) -> None:
    host = FakeHost(store, LastGood(tmp_path))
    assert await begin(host, "candidate", may_lack=True) == "candidate"
    assert host.tried == []
    with pytest.raises(ModelNotFound, match="points nowhere yet"):
        await begin(host, "candidate")


async def test_without_its_store_a_service_comes_back_with_what_it_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: ModelStore
) -> None:
    def fail(*_: object) -> None:
        raise StoreUnreachable("down")

    monkeypatch.setattr(store.aliases, "history", fail)
    memory = LastGood(tmp_path)
    with pytest.raises(ModelError, match="down"):
        await begin(FakeHost(store, memory), "production")
    memory.end("two", good=True)
    host = FakeHost(store, memory)
    assert await begin(host, "production") == "production"
    assert host.tried == ["two"]
