"""What can be known to fail before anything is started, said with what to do about it."""

import importlib.util
import os
import shutil
from pathlib import Path

from rstar.stack import ports
from rstar.stack.config import POLICY_MODULE, Addresses, StackConfig
from rstar.stack.readiness import redis_probe
from services.common.models.aliases import RESERVED
from services.common.models.errors import ModelError
from services.common.models.manifest import Kind
from services.common.models.store import ModelStore

GIB = 1024**3
DISK_BYTES = GIB
# Measured with the CPU engine, as proportional set sizes: 6.1 GB for the 0.5B model (0.99 GB of
# weights) and 3.4 GB for SmolLM2-135M (0.27 GB), 1 GiB of KV cache in each; all the rest 0.4 GB.
ENGINE_BYTES = 5 * GIB // 2
ENGINE_BYTES_PER_WEIGHT_BYTE = 3.7
REST_BYTES = GIB // 2
REDIS_TIMEOUT_SECONDS = 3.0
CGROUP = Path("/sys/fs/cgroup")

# How a setting says yes.
_TRUE = frozenset({"1", "on", "t", "true", "y", "yes"})


class PreflightError(Exception):
    """Why the stack cannot be started; one reason a line."""


async def check(config: StackConfig, at: Addresses, *, own_redis: bool) -> None:
    """Raise PreflightError with every reason that is found."""
    troubles = [
        *_installed(config),
        *_exposure(at.host),
        *_ports(at),
        *_models(config),
        *_disk(config.home),
    ]
    if not troubles:
        troubles += _memory(config)
    if not own_redis:
        troubles += await _redis(at.redis_url)
    if troubles:
        raise PreflightError("\n".join(troubles))


def _installed(config: StackConfig) -> list[str]:
    try:
        found = importlib.util.find_spec(config.policy_module)
    except (ImportError, ValueError):
        found = None
    if found is None:
        return [f"there is no Python module {config.policy_module!r} to be the policy"]
    if _served(config) and importlib.util.find_spec("vllm") is None:
        return ["vLLM is not installed: run `make setup`, or pip install 'rstar[stack,cpu]'"]
    return []


def _exposure(host: str) -> list[str]:
    """What the search service itself would refuse, only that nobody would see why."""
    given = {
        name: os.environ.get(f"RSTAR_SEARCH_{name}", "").lower()
        for name in ("AUTH", "ALLOW_PUBLIC_WITHOUT_AUTH")
    }
    is_guarded = given["AUTH"] == "keys" or given["ALLOW_PUBLIC_WITHOUT_AUTH"] in _TRUE
    if host.startswith("127.") or is_guarded:
        return []
    choice = "RSTAR_SEARCH_AUTH=keys or RSTAR_SEARCH_ALLOW_PUBLIC_WITHOUT_AUTH=true"
    return [f"{host} can be reached by others: set {choice} (see docs/api.md)"]


def _ports(at: Addresses) -> list[str]:
    taken = []
    for what, host, port in at.listening():
        try:
            if ports.is_taken(host, port):
                taken.append((what, port))
        except OSError as error:
            return [f"cannot listen on {host}: {error.strerror}"]
    option = {"the REST API": "--port"}
    return [
        f"port {port}, for {what}, is taken: stop what listens there, or choose another with "
        f"{option.get(what, '--grpc-port')} (0 takes a free one)"
        for what, port in taken
    ]


def _served(config: StackConfig) -> list[tuple[Kind, str]]:
    own = config.policy_module == POLICY_MODULE
    served: list[tuple[Kind, str]] = [("policy", config.model)] if own else []
    return [*served, ("ppm", config.ppm)] if config.ppm else served


def _models(config: StackConfig) -> list[str]:
    store = ModelStore(config.store_folder)
    troubles = []
    for kind, version in _served(config):
        try:
            target = store.resolve(kind, version)
            if kind == "ppm" and target in RESERVED:
                continue  # an alias that points nowhere yet: searches go unguided until it does
            store.open(kind, target, verify=False)
        except ModelError as error:
            cure = f": run `rstar models pull {version}`" if kind == "policy" else ""
            troubles.append(f"{error}{cure}")
    return troubles


def _disk(home: Path) -> list[str]:
    place = home
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free >= DISK_BYTES:
        return []
    trouble = (
        f"{free / GIB:.1f} GiB of disk are free under {place}, {DISK_BYTES / GIB:.0f} are needed: "
        "make room, or choose another folder with --home"
    )
    return [trouble]


def _memory(config: StackConfig) -> list[str]:
    trouble = short_of_memory(config)
    if not trouble:
        return []
    return [f"{trouble}: end other programs, or choose a smaller --model"]


def short_of_memory(config: StackConfig, *, further: int = 0) -> str:
    """How much memory is missing for models that are in the store; empty where it suffices.

    Args:
        config: of the stack.
        further: weights of one more model, in bytes; 0 for none.
    """
    store = ModelStore(config.store_folder)
    served = _served(config)
    weights = [store.manifest(kind, version).size for kind, version in served]
    if further:
        weights.append(further)
    engines = [ENGINE_BYTES + int(ENGINE_BYTES_PER_WEIGHT_BYTE * size) for size in weights]
    needed = REST_BYTES + sum(engines)
    available = available_memory()
    if available >= needed:
        return ""
    names = [version for _, version in served] + (["a PPM"] if further else [])
    return (
        f"{available / GIB:.1f} GiB of memory are available, about {needed / GIB:.1f} are needed "
        f"for {' and '.join(names)}"
    )


def available_memory() -> int:
    """Memory that new processes can have, in bytes: the lesser of machine and container."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    fields = {
        name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)
    }
    available = fields["MemAvailable"] * 1024
    try:
        limit = (CGROUP / "memory.max").read_text().strip()
        used = int((CGROUP / "memory.current").read_text())
    except (OSError, ValueError):
        return available
    return available if limit == "max" else min(available, int(limit) - used)


async def _redis(url: str) -> list[str]:
    try:
        seen = await redis_probe(url)(REDIS_TIMEOUT_SECONDS)
    except ValueError as error:
        return [f"--redis-url: {error}"]
    return [] if seen.ready else [f"--redis-url: no Redis answers there ({seen.detail})"]
