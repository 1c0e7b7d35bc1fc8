import asyncio
from dataclasses import dataclass

import grpc
import pytest

from services.common import rpc
from services.common.inference.serving import Serving


@dataclass(frozen=True)
class Model:
    version: str


def serving(*versions: str) -> Serving[Model]:
    made = Serving[Model]()
    made.show(Model(versions[0]), map(Model, versions[1:]))
    return made


async def label(model: Model) -> str:
    return model.version


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class Work:
    """Work that ends when it is told to, and counts how often it was begun."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended_by_force = 0
        self.may_end = asyncio.Event()

    async def __call__(self, model: Model) -> str:
        self.begun.append(model.version)
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.ended_by_force += 1
            raise
        return model.version


async def test_nothing_is_served_before_it_is_loaded() -> None:
    with pytest.raises(rpc.StatusError) as raised:
        await Serving[Model]().use("", label)
    assert raised.value.code is grpc.StatusCode.UNAVAILABLE


async def test_a_call_gets_the_version_it_names_or_the_main_one() -> None:
    both = serving("one", "two")
    assert await both.use("", label) == "one"
    assert await both.use("one", label) == "one"
    assert await both.use("two", label) == "two"
    assert both.versions == ["one", "two"]
    with pytest.raises(rpc.StatusError, match="'three' is not served, one, two is") as raised:
        await both.use("three", label)
    assert raised.value.code is grpc.StatusCode.FAILED_PRECONDITION


async def test_an_exchange_waits_for_what_is_inside_and_new_work_waits_for_it() -> None:
    place, work = serving("one"), Work()
    inside = asyncio.create_task(place.use("", work))
    await settle()
    entered = asyncio.Event()

    async def exchange() -> int:
        async with place.closed(60) as interrupted:
            entered.set()
            await settle()
            place.show(Model("two"))
        return interrupted

    exchanging = asyncio.create_task(exchange())
    await settle()
    late = asyncio.create_task(place.use("", label))
    await settle()
    assert not entered.is_set()
    assert not late.done()
    work.may_end.set()
    assert await exchanging == 0
    assert await inside == "one"
    assert await late == "two"


async def test_what_does_not_end_in_time_is_begun_again_on_the_new_model() -> None:
    place, work = serving("one"), Work()
    inside = asyncio.create_task(place.use("", work))
    await settle()
    async with place.closed(0.01) as interrupted:
        assert interrupted == 1
        assert work.ended_by_force == 1
        place.show(Model("two"))
    await settle()
    work.may_end.set()
    assert await inside == "two"
    assert work.begun == ["one", "two"]


async def test_no_wait_at_all_interrupts_what_is_inside_and_nothing_else() -> None:
    place, work = serving("one"), Work()
    async with place.closed(0) as interrupted:
        assert interrupted == 0
    inside = asyncio.create_task(place.use("", work))
    await settle()
    async with place.closed(0) as interrupted:
        assert interrupted == 1
        place.show(Model("two"))
    await settle()
    work.may_end.set()
    assert await inside == "two"


async def test_what_is_pinned_to_a_version_that_went_is_told_so() -> None:
    place, work = serving("one"), Work()
    inside = asyncio.create_task(place.use("one", work))
    await settle()
    async with place.closed(0.01):
        place.show(Model("two"))
    with pytest.raises(rpc.StatusError) as raised:
        await inside
    assert raised.value.code is grpc.StatusCode.FAILED_PRECONDITION


async def test_a_failed_exchange_opens_the_door_again() -> None:
    place = serving("one")
    with pytest.raises(ZeroDivisionError):
        async with place.closed(1):
            raise ZeroDivisionError
    assert await place.use("", label) == "one"


async def test_a_caller_who_leaves_takes_the_work_along() -> None:
    place, work = serving("one"), Work()
    inside = asyncio.create_task(place.use("", work))
    await settle()
    inside.cancel()
    with pytest.raises(asyncio.CancelledError):
        await inside
    assert work.ended_by_force == 1
    async with place.closed(60) as interrupted:
        assert interrupted == 0


async def test_a_caller_who_leaves_while_it_is_interrupted_does_not_come_back() -> None:
    place, work = serving("one"), Work()
    inside = asyncio.create_task(place.use("", work))
    await settle()
    closing = asyncio.create_task(place.closed(0).__aenter__())
    inside.cancel()
    with pytest.raises(asyncio.CancelledError):
        await inside
    await closing
    assert work.begun == ["one"]


async def test_failures_of_the_work_are_the_callers() -> None:
    async def fail(model: Model) -> None:
        raise ZeroDivisionError(model.version)

    with pytest.raises(ZeroDivisionError, match="one"):
        await serving("one").use("", fail)


async def test_labels_tell_the_truth_under_constant_exchanges() -> None:
    """Whatever the order of things, a result carries the version whose weights were in place."""
    place, weights = serving("v0"), ["v0"]
    seen: list[tuple[str, str]] = []

    async def compute(model: Model) -> None:
        first = weights[0]
        for _ in range(3):
            await asyncio.sleep(0)
            assert weights[0] == first
        seen.append((model.version, first))

    async def caller() -> None:
        for _ in range(40):
            await place.use("", compute)

    async def exchanger() -> None:
        for number in range(1, 20):
            async with place.closed(0 if number % 3 else 1):
                weights[0] = f"v{number}"
                await asyncio.sleep(0)
                place.show(Model(f"v{number}"))
            await settle()

    await asyncio.gather(exchanger(), *(caller() for _ in range(8)))
    assert len(seen) == 8 * 40
    assert all(label == weights for label, weights in seen)
    assert len(set(seen)) > 5
