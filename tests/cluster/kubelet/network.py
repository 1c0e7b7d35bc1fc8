"""Pods' network: a bridge, and a network namespace with an address for each pod."""

import asyncio
import itertools
from dataclasses import dataclass
from pathlib import Path

BRIDGE = "pods0"
GATEWAY = "10.88.0.1"
_NETWORK = "10.88"
_NAMESPACES = Path("/run/netns")


class CommandFailed(Exception):  # noqa: N818 - what happened
    """A command ended with an error; says its words."""


async def command(*arguments: str) -> str:
    """Run a program to its end; its output."""
    process = await asyncio.create_subprocess_exec(
        *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await asyncio.wait_for(process.communicate(), 30)
    if process.returncode:
        raise CommandFailed(f"{' '.join(arguments)}: {said.decode().strip()}")
    return said.decode()


@dataclass(frozen=True, slots=True)
class Attachment:
    """A pod's place in the network: its address, and the file of its namespace."""

    name: str
    address: str
    namespace: Path


class Network:
    """The bridge of this node. Lives in a network namespace of its own, and ends with it."""

    def __init__(self) -> None:
        """No pod is attached."""
        self._numbers = itertools.count(2)

    async def start(self) -> None:
        """Make the bridge."""
        await command("mkdir", "-p", str(_NAMESPACES))
        await command("mount", "-t", "tmpfs", "tmpfs", str(_NAMESPACES))
        await command("ip", "link", "set", "lo", "up")
        await command("ip", "link", "add", BRIDGE, "type", "bridge")
        await command("ip", "address", "add", f"{GATEWAY}/16", "dev", BRIDGE)
        await command("ip", "link", "set", BRIDGE, "up")

    async def attach(self) -> Attachment:
        """A namespace with an address that no pod has had before."""
        number = next(self._numbers)
        name, address = f"pod{number}", f"{_NETWORK}.{number >> 8}.{number & 255}"
        await command("ip", "netns", "add", name)
        inside = ("ip", "-n", name)
        await command(
            *("ip", "link", "add", f"v{number}", "type", "veth"),
            *("peer", "name", "eth0", "netns", name),
        )
        await command("ip", "link", "set", f"v{number}", "master", BRIDGE, "up")
        await command(*inside, "link", "set", "lo", "up")
        await command(*inside, "address", "add", f"{address}/16", "dev", "eth0")
        await command(*inside, "link", "set", "eth0", "up")
        await command(*inside, "route", "add", "default", "via", GATEWAY)
        return Attachment(name, address, _NAMESPACES / name)

    async def detach(self, attachment: Attachment) -> None:
        """Take the namespace away, its end of the cable with it."""
        await command("ip", "netns", "delete", attachment.name)

    async def own(self, address: str) -> None:
        """Answer for a Service's address too."""
        await command("ip", "address", "add", f"{address}/32", "dev", BRIDGE)

    async def disown(self, address: str) -> None:
        """Answer for it no more."""
        await command("ip", "address", "delete", f"{address}/32", "dev", BRIDGE)
