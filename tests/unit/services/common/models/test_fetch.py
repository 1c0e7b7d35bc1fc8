import hashlib
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from services.common.models.fetch import FetchError, Patience, Wanted, WrongChecksum, download, get
from tests.support.package_server import Fault, PackageServer, package_server

CONTENT = bytes(range(256)) * 20_000
PATIENCE = Patience(connect_s=5, read_s=5, attempts=3, pause_s=0.01)


@pytest.fixture
def server() -> Iterator[PackageServer]:
    with package_server() as served:
        served.files["/file"] = CONTENT
        yield served


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(follow_redirects=True) as made:
        yield made


@pytest.fixture
def wanted(server: PackageServer) -> Wanted:
    digest = hashlib.sha256(CONTENT).hexdigest()
    return Wanted(f"{server.url}/file", "the file", digest, len(CONTENT))


def fetch(client: httpx.Client, wanted: Wanted, target: Path) -> list[int]:
    reported: list[int] = []
    download(client, wanted, target, PATIENCE, reported.append)
    return reported


def test_fetches_and_reports(client: httpx.Client, wanted: Wanted, tmp_path: Path) -> None:
    reported = fetch(client, wanted, tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == CONTENT
    assert reported == sorted(reported)
    assert reported[-1] == len(CONTENT)
    assert [path.name for path in tmp_path.iterdir()] == ["got"]


def test_goes_on_where_it_was_cut(
    server: PackageServer, client: httpx.Client, wanted: Wanted, tmp_path: Path
) -> None:
    server.faults["/file"] = [Fault(cut_after=2_000_000), Fault(cut_after=1_500_000)]
    fetch(client, wanted, tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == CONTENT
    first, second, third = server.gets("/file")
    assert first == ""
    assert 0 < int(second[6:-1]) < int(third[6:-1]) < len(CONTENT)


def test_goes_on_in_another_process(
    server: PackageServer, client: httpx.Client, wanted: Wanted, tmp_path: Path
) -> None:
    (tmp_path / "got.part").write_bytes(CONTENT[:1_000_000])
    fetch(client, wanted, tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == CONTENT
    assert server.gets("/file") == ["bytes=1000000-"]


def test_a_server_without_ranges_is_read_from_the_start(
    server: PackageServer, client: httpx.Client, wanted: Wanted, tmp_path: Path
) -> None:
    server.ignore_ranges = True
    (tmp_path / "got.part").write_bytes(b"x" * 1000)
    fetch(client, wanted, tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == CONTENT


def test_a_file_that_is_whole_already_is_only_checked(
    server: PackageServer, client: httpx.Client, wanted: Wanted, tmp_path: Path
) -> None:
    (tmp_path / "got.part").write_bytes(CONTENT)
    fetch(client, wanted, tmp_path / "got")
    assert server.gets("/file") == []


@pytest.mark.parametrize("start", [b"x" * 1000, CONTENT + b"x", b"y" * len(CONTENT)])
def test_a_start_that_is_not_of_this_file_costs_one_fresh_try(
    client: httpx.Client, wanted: Wanted, tmp_path: Path, start: bytes
) -> None:
    (tmp_path / "got.part").write_bytes(start)
    fetch(client, wanted, tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == CONTENT


def test_wrong_bytes_are_named_and_deleted(
    server: PackageServer, client: httpx.Client, wanted: Wanted, tmp_path: Path
) -> None:
    server.files["/file"] = b"y" * len(CONTENT)
    with pytest.raises(WrongChecksum, match=r"the file: sha256 is .* should be .*; deleted"):
        fetch(client, wanted, tmp_path / "got")
    assert list(tmp_path.iterdir()) == []
    assert len(server.gets("/file")) == 1


def test_more_bytes_than_promised_are_not_swallowed(
    client: httpx.Client, wanted: Wanted, tmp_path: Path
) -> None:
    with pytest.raises(FetchError, match="longer than the 1000 bytes expected"):
        fetch(client, replace(wanted, size=1000), tmp_path / "got")


def test_a_passing_fault_is_waited_out(
    server: PackageServer, client: httpx.Client, wanted: Wanted, tmp_path: Path
) -> None:
    server.faults["/file"] = [Fault(status=503), Fault(status=429)]
    fetch(client, wanted, tmp_path / "got")
    assert len(server.gets("/file")) == 3


def test_a_lasting_fault_ends_after_some_attempts(
    server: PackageServer, client: httpx.Client, wanted: Wanted, tmp_path: Path
) -> None:
    server.faults["/file"] = [Fault(status=503)] * 10
    with pytest.raises(FetchError, match=r"the file: HTTP 503 \(3 attempts\)"):
        fetch(client, wanted, tmp_path / "got")
    assert len(server.gets("/file")) == 3


def test_a_missing_file_is_not_asked_for_twice(
    server: PackageServer, client: httpx.Client, wanted: Wanted, tmp_path: Path
) -> None:
    with pytest.raises(FetchError, match=r"the file: HTTP 404 from 127\.0\.0\.1"):
        fetch(client, replace(wanted, url=f"{server.url}/none"), tmp_path / "got")
    assert len(server.gets("/none")) == 1


def test_a_silent_server_is_given_up(client: httpx.Client, wanted: Wanted, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/file"
        patience = Patience(connect_s=1, read_s=0.1, attempts=2, pause_s=0.01)
        with pytest.raises(FetchError, match=r"the file: .*\(2 attempts\)"):
            download(client, replace(wanted, url=url), tmp_path / "got", patience, print)


def test_a_small_answer_is_retried(server: PackageServer, client: httpx.Client) -> None:
    server.faults["/file"] = [Fault(status=502)]
    assert get(client, f"{server.url}/file", {}, PATIENCE).content == CONTENT
    with pytest.raises(FetchError, match=r"127\.0\.0\.1: HTTP 404"):
        get(client, f"{server.url}/none", {}, PATIENCE)
