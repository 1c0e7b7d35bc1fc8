"""The stack under load: real Redis, sandbox and search, with scripted models or real ones."""

import contextlib
import io
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

from rstar.stack.config import LOOPBACK, Addresses, StackConfig, choose_addresses
from rstar.stack.journal import Journal
from rstar.stack.readiness import grpc_probe
from rstar.stack.redis_server import RedisFolder
from rstar.stack.services import (
    SMALL_SERVICE_SECONDS,
    grpc_unit,
    redis_unit,
    search_unit,
)
from rstar.stack.supervisor import Supervisor
from rstar.stack.unit import Unit
from services.common import home as user_home

MAX_SEARCHES: Final = 1_000
_COMPLAINT: Final = re.compile(r"\[(warning|error|critical) *\]|Traceback|Error")
PARTS: Final = ("search", "sandbox", "policy", "ppm", "redis")


@dataclass(frozen=True, slots=True)
class Rig:
    """A running stack.

    Attributes:
        at: where everything listens.
        supervisor: what keeps it running.
    """

    at: Addresses
    supervisor: Supervisor

    @property
    def url(self) -> str:
        """Base URL of the REST API."""
        return self.at.url

    def cpu_seconds(self) -> dict[str, float]:
        """CPU time that each part has used so far, its dead children's included."""
        tree = _processes()
        return {
            name: sum(tree[pid].seconds for pid in _below(tree, keeper))
            for name in PARTS
            if (keeper := self.supervisor.pid(name)) is not None
        }

    def memory_bytes(self, name: str) -> int:
        """Memory that a part holds (PSS), in bytes; 0 between two starts."""
        keeper = self.supervisor.pid(name)
        if keeper is None:
            return 0
        return sum(_pss(pid) for pid in _below(_processes(), keeper))


@contextlib.asynccontextmanager
async def running(
    *,
    sandbox: Literal["real", "scripted"] = "real",
    model: str = "",
    batch: int = 64,
    policy_port: int = 0,
    ppm_port: int = 0,
    environment: Mapping[str, str] = MappingProxyType({}),
    **search_settings: object,
) -> AsyncIterator[Rig]:
    """A stack in a home of its own that is gone afterwards.

    Args:
        sandbox: `scripted` runs nothing, which leaves the search's own cost.
        model: version in the user's model store that the policy serves, without a PPM; empty for
            scripted ones of both.
        batch: sequences that the policy's engine computes at once.
        policy_port, ppm_port: where policy and PPM listen; 0 for a free port.
        environment: further variables of all services.
        search_settings: settings of the search service by name.
    """
    with tempfile.TemporaryDirectory(prefix="rstar-bench-") as home, contextlib.ExitStack() as own:
        config = StackConfig(port=0, grpc_port=0, home=Path(home), log_level="warning")
        config.reports_folder.mkdir(parents=True, exist_ok=True)
        folder = own.enter_context(contextlib.closing(RedisFolder(config.redis_folder)))
        at = choose_addresses(config, folder.url)
        at = replace(at, policy=policy_port or at.policy, ppm=ppm_port or at.ppm)
        units = [
            redis_unit(folder),
            _sandbox_unit(config, at.sandbox, sandbox),
            *_model_units(config, at, model, batch),
            _search_unit(config, at, {"max_searches": MAX_SEARCHES} | search_settings),
        ]
        units = [replace(unit, env={**unit.env, **environment}) for unit in units]
        said = io.StringIO()
        journal = Journal([*PARTS], stream=said)
        try:
            async with Supervisor(units, journal) as supervisor:
                yield Rig(at, supervisor)
        finally:
            # A benchmark whose services complained must not look clean.
            for line in said.getvalue().splitlines():
                if _COMPLAINT.search(line):
                    print(line, file=sys.stderr)


def scripted_unit(name: str, port: int) -> Unit:
    """One scripted service as a process."""
    target = f"{LOOPBACK}:{port}"
    return Unit(
        name,
        (sys.executable, "-m", "rstar.bench.scripted_server", name, str(port)),
        dict(os.environ),
        grpc_probe(target),
        target,
        start_seconds=SMALL_SERVICE_SECONDS,
    )


def _sandbox_unit(config: StackConfig, port: int, kind: Literal["real", "scripted"]) -> Unit:
    if kind == "scripted":
        return scripted_unit("sandbox", port)
    return grpc_unit(
        config, "sandbox", port, SMALL_SERVICE_SECONDS, max_sessions=MAX_SEARCHES, drain_seconds=1
    )


def _model_units(config: StackConfig, at: Addresses, model: str, batch: int) -> list[Unit]:
    if not model:
        return [scripted_unit("policy", at.policy), scripted_unit("ppm", at.ppm)]
    seconds, store = config.start_seconds, user_home.store_folder()
    return [
        grpc_unit(
            *(config, "policy", at.policy, seconds),
            model=model,
            store=store,
            batch_sequences=batch,
        ),
        grpc_unit(config, "ppm", at.ppm, seconds, model="", store=store),
    ]


def _search_unit(config: StackConfig, at: Addresses, settings: dict[str, object]) -> Unit:
    unit = search_unit(config, at, own_redis=True)
    named = {f"RSTAR_SEARCH_{name}".upper(): str(value) for name, value in settings.items()}
    return replace(unit, env={**unit.env, **named})


@dataclass(frozen=True, slots=True)
class _Process:
    parent: int
    seconds: float


def _processes() -> dict[int, _Process]:
    """All processes of this machine by id."""
    ticks = os.sysconf("SC_CLK_TCK")
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            # After the name: state, ppid, ..., utime, stime, cutime, cstime (proc_pid_stat(5)).
            found[int(entry.name)] = _Process(int(fields[1]), sum(map(int, fields[11:15])) / ticks)
    return found


def _below(tree: dict[int, _Process], top: int) -> list[int]:
    """A process and all its descendants that are in the tree."""
    found = {top} & tree.keys()
    while more := {pid for pid, one in tree.items() if one.parent in found} - found:
        found |= more
    return sorted(found)


def _pss(pid: int) -> int:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
