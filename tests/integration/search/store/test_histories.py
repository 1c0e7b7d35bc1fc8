"""Whatever replicas, clocks and lost replies do, a log holds each acknowledged event once."""

import asyncio
from dataclasses import dataclass, field

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from services.search.store import keys
from services.search.store.errors import LeaseLost
from services.search.store.events import Failed, Started, TrialTold
from services.search.store.lease import Lease
from tests.integration.search.store.conftest import Replica, started, told

ACTIONS = ("write", "lose the reply", "expire", "take", "hand over", "renew", "end")
Step = tuple[int, str]


@dataclass
class World:
    """Two replicas that think whatever they think, and what the log must hold.

    Attributes:
        replicas: who acts.
        search_id: on one search.
        leases: what each of them believes to hold.
        log: trials that were acknowledged, in their order.
        holder: who was the last to get the search.
        has_ended: whether its end was acknowledged.
    """

    replicas: tuple[Replica, Replica]
    search_id: str
    leases: dict[int, Lease]
    log: list[int] = field(default_factory=list)
    holder: int = 0
    has_ended: bool = False
    _next: int = 0

    async def act(self, who: int, action: str) -> None:
        """One replica does something."""
        replica = self.replicas[who]
        match action:
            case "write" | "lose the reply" | "end":
                await self._write(who, action)
            case "expire":
                await replica.connection.command("DEL", keys.lease(self.search_id))
            case "take":
                taken = await replica.leases.take(self.search_id)
                if taken is not None:
                    assert taken.lease.seq == 1 + len(self.log)
                    assert not self.has_ended
                    self.leases[who], self.holder = taken.lease, who
            case "hand over":
                if who in self.leases:
                    await replica.leases.release([self.leases[who]])
            case "renew":
                for standing in (await replica.leases.renew()).values():
                    assert (standing == "lost") == (self.holder != who)

    async def _write(self, who: int, action: str) -> None:
        lease = self.leases.get(who)
        if lease is None:
            return
        store = self.replicas[who].store
        self._next += 1
        event = Failed("internal", "over") if action == "end" else told(self._next)
        may_write = self.holder == who and not self.has_ended
        before = lease.seq
        batch = str(self._next)
        try:
            await store.append(lease, [event], last=action == "end", batch=batch)
            if action == "lose the reply":
                lease.seq = before
                await store.append(lease, [event], batch=batch)
        except LeaseLost:
            assert not may_write, "the holder may write"
            self.leases.pop(who)
            return
        assert may_write, "nobody else may"
        assert lease.seq == before + 1
        if action == "end":
            self.has_ended = True
        else:
            self.log.append(self._next)


async def live(url: str, steps: list[Step]) -> None:
    """Go through a history and look at what is left."""
    replicas = Replica(url, "first"), Replica(url, "second")
    search_id = keys.new_id()
    try:
        lease = await replicas[0].store.create(search_id, started())
        world = World(replicas, search_id, {0: lease})
        for who, action in steps:
            await world.act(who, action)
        entries = await replicas[1].store.entries(search_id)
        assert [entry.number for entry in entries] == list(range(1, len(entries) + 1))
        assert isinstance(entries[0].event, Started)
        trials = [e.event.expanded.trial for e in entries if isinstance(e.event, TrialTold)]
        assert trials == world.log
        assert entries[-1].is_last == world.has_ended
        assert sum(entry.is_last for entry in entries) == world.has_ended
        await replicas[0].connection.command("ZREM", keys.OPEN, search_id)
    finally:
        for replica in replicas:
            await replica.connection.close()


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@example([(0, "expire"), (1, "take"), (0, "write"), (1, "write")])
@example([(0, "hand over"), (1, "take"), (0, "end"), (1, "lose the reply"), (1, "end")])
@example([(0, "expire"), (1, "take"), (1, "expire"), (0, "renew"), (0, "take"), (1, "write")])
@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from(ACTIONS)), max_size=30))
def test_every_history_leaves_a_whole_log(redis_url: str, steps: list[Step]) -> None:
    asyncio.run(live(redis_url, steps))
