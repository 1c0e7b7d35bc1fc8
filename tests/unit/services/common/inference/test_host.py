"""Loading, exchanging and going back, with an engine that fails when it is told to."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from services.common import rpc
from services.common.inference.engine import EngineError
from services.common.inference.host import Craft, Host
from services.common.inference.meters import ReloadMeters
from services.common.inference.serving import Serving
from services.common.inference.settings import ModelSettings
from services.common.models.errors import ModelDamaged, ModelNotFound
from services.common.models.store import ModelStore, StoredModel
from tests.support.folders import make_folder


class FakeEngine:
    """Runs a folder; refuses some."""

    context_tokens = 16

    def __init__(self, model: Path, world: "World") -> None:
        self.model = model
        self.stopped = False
        self.dead = False
        self._world = world

    async def reload(self, model: Path) -> None:
        self.model = model
        self._world.reloads.append(model.name)
        if model.name in self._world.no_reload:
            raise EngineError(f"cannot load the weights of {model.name}")

    async def stop(self) -> None:
        self.stopped = True


@dataclass(frozen=True)
class Model:
    version: str
    engine: FakeEngine


class World:
    """A store with some versions, a host, and what may go wrong."""

    def __init__(self, root: Path, **settings: object) -> None:
        self.store = ModelStore(root / "store")
        self.engines: list[FakeEngine] = []
        self.reloads: list[str] = []
        self.no_reload: set[str] = set()
        self.no_start: set[str] = set()
        self.no_proof: set[str] = set()
        self.health: list[bool] = []
        self.registry = CollectorRegistry()
        self.meters = ReloadMeters("policy", self.registry)
        self.serving = Serving[Model]()
        for version, rope in (("one", 1), ("two", 1), ("large", 2)):
            made = make_folder(root / "made", numbers=version.encode().ljust(6))
            config = json.loads((made / "config.json").read_text())
            (made / "config.json").write_text(json.dumps(config | {"rope_theta": rope}))
            self.store.publish("policy", version, made, licence="MIT", prompt_style="bare")
        self.settings = ModelSettings(
            store=str(self.store.root), state=root / "state", swap_seconds=0.05, **settings
        )
        self.host = self.make_host()

    def make_host(self) -> Host[Model]:
        async def start(folder: Path) -> FakeEngine:
            if folder.name in self.no_start:
                raise EngineError(f"cannot start on {folder.name}")
            self.engines.append(FakeEngine(folder, self))
            return self.engines[-1]

        def make(stored: StoredModel, engine: FakeEngine) -> Model:
            return Model(stored.manifest.version, engine)

        async def prove(model: Model) -> None:
            assert model.engine.model.name == model.version
            if model.version in self.no_proof:
                raise EngineError(f"{model.version} computes no numbers")

        async def warm(model: Model) -> None:
            assert not model.engine.stopped

        async def set_health(healthy: bool) -> None:
            self.health.append(healthy)

        craft = Craft(start, make, prove, warm)  # type: ignore[arg-type]  # a double of the engine
        return Host(
            "policy",
            "production",
            self.settings,
            craft,
            self.serving,
            set_health,
            self.meters,
        )

    async def serves(self) -> str:
        """The version whose weights a call gets, which must be what it is told."""

        async def work(model: Model) -> str:
            assert not model.engine.stopped
            assert model.engine.model.name == model.version
            return model.version

        return await self.serving.use("", work)

    def metric(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"rstar_policy_{name}", labels)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_the_first_load_starts_an_engine_and_says_that_it_is_healthy(world: World) -> None:
    assert (await world.host.load("one")).how == "started"
    assert world.health == [True]
    assert await world.serves() == "one"
    assert world.host.memory.good == "one"
    assert (await world.host.load("one")).how == "already"
    assert len(world.engines) == 1


async def test_weights_that_fit_are_exchanged_in_place(world: World) -> None:
    await world.host.load("one")
    loaded = await world.host.load("two")
    assert (loaded.how, loaded.interrupted) == ("in_place", 0)
    assert await world.serves() == "two"
    assert (world.reloads, len(world.engines), world.health) == (["two"], 1, [True])
    assert world.metric("reloads_total", how="in_place") == 1
    assert world.metric("model_info", version="two", role="main") == 1
    assert world.metric("model_info", version="one", role="main") is None
    assert world.host.memory.good == "two"


@pytest.mark.parametrize("stage", ["no_reload", "no_proof"])
async def test_a_failed_exchange_goes_back(world: World, stage: str) -> None:
    await world.host.load("one")
    getattr(world, stage).add("two")
    with pytest.raises(EngineError, match="two"):
        await world.host.load("two")
    assert await world.serves() == "one"
    assert world.reloads == ["two", "one"]
    assert world.metric("reload_failures_total") == 1
    assert (world.host.memory.good, world.host.memory.deaths("two")) == ("one", 0)
    getattr(world, stage).clear()
    await world.host.load("two")
    assert await world.serves() == "two"


async def test_an_engine_that_cannot_go_back_is_restarted(world: World) -> None:
    await world.host.load("one")
    world.no_reload = {"one", "two"}
    with pytest.raises(EngineError, match="two"):
        await world.host.load("two")
    assert await world.serves() == "one"
    assert [engine.stopped for engine in world.engines] == [True, False]
    assert world.health == [True, False, True]


async def test_a_damaged_version_touches_nothing(world: World) -> None:
    await world.host.load("one")
    (world.store.path("policy", "two") / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelDamaged):
        await world.host.load("two")
    with pytest.raises(ModelNotFound):
        await world.host.load("absent")
    assert world.reloads == []
    assert await world.serves() == "one"


async def test_another_architecture_restarts_the_engine_behind_the_port(world: World) -> None:
    await world.host.load("one")
    loaded = await world.host.load("large")
    assert loaded.how == "restart"
    assert await world.serves() == "large"
    assert [engine.stopped for engine in world.engines] == [True, False]
    assert world.health == [True, False, True]


async def test_an_architecture_that_does_not_start_gives_way_to_the_old_one(world: World) -> None:
    await world.host.load("one")
    world.no_start = {"large"}
    with pytest.raises(EngineError, match="large"):
        await world.host.load("large")
    assert await world.serves() == "one"
    assert world.health[-1]


async def test_a_second_engine_takes_over_while_the_first_ends_its_work(tmp_path: Path) -> None:
    world = World(tmp_path, second_engine=True)
    await world.host.load("one")
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def work(model: Model) -> str:
        begun.set()
        await may_end.wait()
        assert not model.engine.stopped
        return model.version

    inside = asyncio.create_task(world.serving.use("", work))
    await begun.wait()
    loading = asyncio.create_task(world.host.load("large"))
    async with asyncio.timeout(20):
        while await world.serves() != "large":
            await asyncio.sleep(0.01)
    assert not loading.done()
    may_end.set()
    assert await inside == "one"
    assert (await loading).how == "second_engine"
    assert [engine.stopped for engine in world.engines] == [True, False]
    assert False not in world.health


async def test_loads_do_not_overlap(world: World) -> None:
    await world.host.load("one")
    await asyncio.gather(*(world.host.load(version) for version in ("two", "one", "two")))
    assert await world.serves() == "two"
    assert world.reloads == ["two", "one", "two"]


async def test_a_death_in_an_exchange_is_seen_by_the_next_process(world: World) -> None:
    await world.host.load("one")
    held = asyncio.Event()

    async def never(model: Path) -> None:
        held.set()
        await asyncio.get_running_loop().create_future()

    world.engines[0].reload = never  # type: ignore[method-assign]  # to be found in the middle
    dying = asyncio.create_task(world.host.load("two"))
    await held.wait()
    after_death = world.make_host().memory
    assert after_death.deaths("two") == 1
    assert after_death.order(["two", "one"]) == ["one", "two"]
    # To be told to stop is no death.
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    assert world.make_host().memory.deaths("two") == 0


async def test_where_neither_version_starts_the_process_ends(world: World) -> None:
    await world.host.load("one")
    world.no_start = {"large", "one"}
    with pytest.raises(EngineError):
        await world.host.load("large")
    async with asyncio.timeout(20):
        await world.host.died()
    with pytest.raises(rpc.StatusError, match="no model is loaded"):
        await world.serves()
    assert not world.health[-1]


async def test_a_full_disk_is_a_failed_load_and_no_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.host.load("one")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(world.host.store, "open", full)
    with pytest.raises(EngineError, match="No space left"):
        await world.host.load("two")
    assert await world.serves() == "one"
    assert world.metric("reload_failures_total") == 1
