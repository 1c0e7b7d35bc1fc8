"""What the stack on one machine is made of, as its user chooses it."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rstar.stack import ports
from services.common import home

LOOPBACK = "127.0.0.1"
POLICY_MODULE = "services.policy"
ANY = "0.0.0.0"  # noqa: S104 - compared with, never a default


@dataclass(frozen=True, slots=True)
class StackConfig:
    """How `rstar up` runs the stack.

    Attributes:
        model: version in the model store that the policy serves.
        policy_module: what runs as the policy service, another program with the same contract say,
            which then takes no model from the store.
        policy_prefix: its settings are RSTAR_<PREFIX>_<FIELD>.
        ppm: version in the model store that the PPM serves; empty for an unguided search.
        host: IPv4 address that the REST API and the search's gRPC listen on.
        port: port of the REST API; 0 takes a free one.
        grpc_port: port of the search's gRPC, the policy, PPM and sandbox being on the next three; 0
            takes free ones.
        redis_url: a Redis of one's own; empty starts one.
        home: folder of models, of Redis' data and of logs.
        start_seconds: how long the policy may take to load its model.
    """

    model: str = "qwen2.5-coder-0.5b"
    policy_module: str = POLICY_MODULE
    policy_prefix: str = "policy"
    ppm: str = ""
    host: str = LOOPBACK
    port: int = 8000
    grpc_port: int = 50050
    redis_url: str = ""
    home: Path = field(default_factory=home.home)
    log_level: str = "info"
    log_format: Literal["console", "json"] = "console"
    start_seconds: float = 600.0

    @property
    def redis_folder(self) -> Path:
        """Where a Redis started here keeps its data."""
        return self.home / "redis"

    @property
    def reports_folder(self) -> Path:
        """Folder whose reports the page links, where the environment names no other."""
        return Path(os.environ.get("RSTAR_SEARCH_REPORTS") or self.home / "reports")

    @property
    def store_folder(self) -> Path:
        """The model store."""
        return self.home / "store"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where everything listens.

    Attributes:
        host: address of the REST API and of the search's gRPC; all else is on LOOPBACK, since it
            knows no users.
        rest, search, policy, ppm, sandbox: ports, the four last ones of gRPC.
        redis_url: where Redis is.
    """

    host: str
    rest: int
    search: int
    policy: int
    ppm: int
    sandbox: int
    redis_url: str

    @property
    def url(self) -> str:
        """Base URL of the REST API, as reached from this machine."""
        return f"http://{LOOPBACK if self.host == ANY else self.host}:{self.rest}"

    def listening(self) -> list[tuple[str, str, int]]:
        """What listens, on which host, on which port."""
        return [
            ("the REST API", self.host, self.rest),
            ("search", self.host, self.search),
            ("policy", LOOPBACK, self.policy),
            ("ppm", LOOPBACK, self.ppm),
            ("sandbox", LOOPBACK, self.sandbox),
        ]


def choose_addresses(config: StackConfig, redis_url: str) -> Addresses:
    """Addresses as configured, with free ports in the place of zeros."""
    free = ports.free_ports(config.host, 5)
    first = config.grpc_port
    search, policy, ppm, sandbox = range(first, first + 4) if first else free[1:]
    rest = config.port or free[0]
    return Addresses(config.host, rest, search, policy, ppm, sandbox, redis_url)
