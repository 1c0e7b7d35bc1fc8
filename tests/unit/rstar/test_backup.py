import gzip
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from typer.testing import CliRunner

from rstar.main import app
from rstar.stack.redis_server import binary

RETRY = redis.retry.Retry(redis.backoff.ConstantBackoff(0.05), 200)


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[list[str]]:
    """URLs of two real servers, empty."""
    processes, urls = [], []
    for name in ("a", "b"):
        path = tmp_path / name
        command = [str(binary()), "--port", "0", "--unixsocket", str(path), "--save", ""]
        processes.append(subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL))
        with redis.Redis(unix_socket_path=str(path), retry=RETRY) as client:
            client.ping()
        urls.append(f"unix://{path}")
    yield urls
    for process in processes:
        process.terminate()
        process.wait()


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["backup", *arguments])
    return done.exit_code, done.output


def fill(url: str) -> redis.Redis:
    client = redis.Redis.from_url(url)
    client.xadd("rstar:search:{s}:log", {"event": b"\x00\xff"}, id="1-0")
    client.xgroup_create("rstar:search:{s}:log", "workers", "0")
    client.set("rstar:search:{s}:lease", "7", px=60_000)
    client.zadd("rstar:searches:index", {"s": 0})
    client.set("rstar:models:pins:policy:v1", 1, px=500_000)
    client.set("somebody:else", 1)
    return client


def test_what_is_saved_comes_back_elsewhere(servers: list[str], tmp_path: Path) -> None:
    file = tmp_path / "redis.backup"
    with fill(servers[0]) as before:
        code, said = run("save", str(file), "--redis-url", servers[0])
        assert (code, said.split()[0]) == (0, "3")
        assert run("restore", str(file), "--redis-url", servers[1]) == (0, "3 keys\n")
        with redis.Redis.from_url(servers[1]) as after:
            # Neither the lease of a replica that is gone, nor what is not ours.
            assert sorted(after.keys()) == [
                b"rstar:models:pins:policy:v1",
                b"rstar:search:{s}:log",
                b"rstar:searches:index",
            ]
            log = "rstar:search:{s}:log"
            assert after.xrange(log) == before.xrange(log)
            assert after.xinfo_groups(log)[0]["name"] == b"workers"
            assert 0 < after.pttl("rstar:models:pins:policy:v1") <= 500_000
            assert after.pttl(log) == -1


def test_a_restore_into_a_server_in_use_must_be_asked_for(
    servers: list[str], tmp_path: Path
) -> None:
    file = str(tmp_path / "redis.backup")
    with fill(servers[0]) as client:
        assert run("save", file, "--redis-url", servers[0])[0] == 0
        client.zadd("rstar:searches:index", {"later": 0})
        code, said = run("restore", file, "--redis-url", servers[0])
        assert code == 1
        assert "--replace" in said
        assert client.zcard("rstar:searches:index") == 2
        assert run("restore", file, "--redis-url", servers[0], "--replace")[0] == 0
        assert client.zcard("rstar:searches:index") == 1


@pytest.mark.parametrize("damage", ["cut", "short", "other"])
def test_a_damaged_file_changes_nothing(servers: list[str], tmp_path: Path, damage: str) -> None:
    file = tmp_path / "redis.backup"
    fill(servers[0]).close()
    assert run("save", str(file), "--redis-url", servers[0])[0] == 0
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-20])
    else:
        lines = gzip.decompress(file.read_bytes()).splitlines(keepends=True)
        kept = lines[:-2] if damage == "short" else lines[1:]
        file.write_bytes(gzip.compress(b"".join(kept)))
    code, said = run("restore", str(file), "--redis-url", servers[1])
    assert code == 1
    assert said.startswith("rstar: ")
    with redis.Redis.from_url(servers[1]) as after:
        assert after.dbsize() == 0


def test_a_server_that_is_away_leaves_no_file(tmp_path: Path) -> None:
    file = tmp_path / "redis.backup"
    code, said = run("save", str(file), "--redis-url", f"unix://{tmp_path}/none")
    assert (code, said.startswith("rstar: ")) == (1, True)
    assert not list(tmp_path.iterdir())
