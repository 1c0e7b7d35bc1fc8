"""The watch over the dependencies."""

import asyncio

import pytest

from services.search.clients.dependencies import Dependency, DependencyError, Monitor


class Switch:
    """A dependency that can be turned off, or made to hang."""

    def __init__(self) -> None:
        self.state = "on"

    async def check(self) -> None:
        """Answer by the state."""
        if self.state == "off":
            raise DependencyError("policy", "refused")
        if self.state == "hung":
            await asyncio.Event().wait()


def monitor(switch: Switch, *, stall_seconds: float = 60.0) -> Monitor:
    """A watch over one switch."""
    dependencies = {"policy": Dependency(switch.check)}
    return Monitor(dependencies, timeout_seconds=0.05, stall_seconds=stall_seconds)


async def test_nothing_is_ready_before_it_was_checked() -> None:
    watch = monitor(Switch())
    assert not watch.dependencies["policy"].ready
    await watch.require()
    assert watch.dependencies["policy"].ready


async def test_what_is_down_or_hangs_is_named_and_comes_back() -> None:
    switch = Switch()
    watch = monitor(switch)
    for state, detail in (("off", "refused"), ("hung", "no answer within 0.05 s")):
        switch.state = state
        with pytest.raises(DependencyError) as error:
            await watch.require()
        assert (error.value.name, error.value.detail) == ("policy", detail)
    switch.state = "on"
    await watch.require()


async def test_one_failed_check_is_no_stall_a_series_is() -> None:
    switch = Switch()
    patient, strict = monitor(switch), monitor(switch, stall_seconds=0.0)
    for watch in (patient, strict):
        await watch.check()
        assert watch.stalled() is None
    switch.state = "off"
    for watch in (patient, strict):
        await watch.check()
    await asyncio.sleep(0.01)
    assert patient.stalled() is None
    error = strict.stalled()
    assert error is not None
    assert error.name == "policy"


async def test_the_watch_checks_by_itself_until_it_is_stopped() -> None:
    switch = Switch()
    watch = monitor(switch)
    await watch.start()
    async with asyncio.timeout(5):
        while not watch.dependencies["policy"].ready:
            await asyncio.sleep(0.01)
    await watch.stop()
    assert [task.get_name() for task in asyncio.all_tasks()].count("dependency-monitor") == 0


async def test_callers_who_come_at_once_share_one_check() -> None:
    checks = 0

    async def check() -> None:
        nonlocal checks
        checks += 1
        await asyncio.sleep(0.01)

    watch = Monitor({"policy": Dependency(check)}, timeout_seconds=5, stall_seconds=60)
    await asyncio.gather(*(watch.require() for _ in range(100)))
    assert checks == 1
    await watch.require()
    assert checks == 2
    await watch.stop()
