"""Ports of this machine: which are taken, which are free."""

import contextlib
import errno
import secrets
import socket
from pathlib import Path
from typing import Final

_LOWEST: Final = 20_000
_TRIES: Final = 100
_GIVEN_AWAY: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")


def is_taken(host: str, port: int) -> bool:
    """Whether something listens on a port, or it may not be listened on.

    Raises:
        OSError: the host is no address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers do, so that connections that have just been closed do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return True
            raise
    return False


def free_ports(host: str, count: int) -> list[int]:
    """So many different ports that are free at this moment.

    They lie below those that the kernel gives to outgoing connections and for port 0, so that none
    of these has taken one when a service that is slow to start comes to listen there. Where there
    are too few of them, the kernel chooses.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    below = range(_LOWEST, max(_first_of_the_kernels(), _LOWEST))
    tries = secrets.SystemRandom().sample(below, min(len(below), _TRIES + count))
    with contextlib.ExitStack() as stack:
        found: list[int] = []
        for port in [*tries, *[0] * count]:
            if len(found) == count:
                break
            one = stack.enter_context(socket.socket(family))
            try:
                one.bind((host, port))
            except OSError as error:
                if port and error.errno in (errno.EADDRINUSE, errno.EACCES):
                    continue
                raise
            found.append(one.getsockname()[1])
        return found


def _first_of_the_kernels() -> int:
    """The least port that the kernel gives away by itself; 0 where it does not say."""
    try:
        return int(_GIVEN_AWAY.read_text("ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return 0
