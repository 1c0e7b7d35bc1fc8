"""Which ports are taken."""

import socket
from pathlib import Path

import pytest

from rstar.stack import ports
from rstar.stack.ports import free_ports, is_taken


def test_a_port_is_taken_while_something_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert is_taken("127.0.0.1", port)
    assert not is_taken("127.0.0.1", port)


def test_free_ports_are_different_and_free() -> None:
    found = free_ports("127.0.0.1", 20)
    assert len(set(found)) == 20
    assert not any(is_taken("127.0.0.1", port) for port in found)


def test_no_connection_is_given_one_of_them_meanwhile() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
        assert first <= server.getsockname()[1] <= last
    assert all(port < first for port in free_ports("127.0.0.1", 20))


def test_where_the_kernel_gives_away_nearly_all_it_chooses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_away = tmp_path / "range"
    monkeypatch.setattr(ports, "_GIVEN_AWAY", given_away)
    for text in ("20003\t60999\n", "1024\t65535\n", "no numbers"):
        given_away.write_text(text)
        found = free_ports("127.0.0.1", 20)
        assert len(set(found)) == 20
        assert not any(is_taken("127.0.0.1", port) for port in found)


def test_an_address_of_another_machine_is_an_error() -> None:
    with pytest.raises(OSError, match="assign"):
        is_taken("192.0.2.1", 8000)
