"""`rstar backup`: what the platform keeps in Redis, into one file and back.

Works on any Redis that the platform does, over the network: keys are read one by one (DUMP), so a
busy server goes on, and each key is as it was at one moment. A search's log is one key, and all
else about the search follows from it. Leases are left out: they end by themselves within seconds.
"""

import base64
import gzip
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer

app = typer.Typer(help="Save and restore what is in Redis.", no_args_is_help=True)

FORMAT: Final = "rstar-redis-1"
_PATTERN: Final = "rstar:*"
_LEASE: Final = b":lease"
_BATCH: Final = 200
_SECONDS: Final = 30.0

Url = Annotated[str, typer.Option("--redis-url", envvar="RSTAR_SEARCH_REDIS_URL", help="Redis.")]
Backup = Annotated[Path, typer.Argument(dir_okay=False, help="The backup.")]


class BadBackup(ValueError):  # noqa: N818 - says what is wrong
    """A file that is no backup, or not the whole of one."""


@app.command()
def save(file: Backup, redis_url: Url) -> None:
    """Write every key of the platform into a file; searches may go on."""
    from redis import RedisError

    from services.common import redis_clients

    temporary = file.with_name(f".{file.name}.{os.getpid()}.new")
    try:
        with (
            redis_clients.sync_client(redis_url, socket_timeout=_SECONDS) as redis,
            gzip.open(temporary, "wt", encoding="ascii") as out,
        ):
            count = write(out, read_keys(redis))
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.replace(file)
    except (RedisError, OSError, ValueError) as error:
        _fail(error)
    finally:
        temporary.unlink(missing_ok=True)
    print(f"{count} keys, {file.stat().st_size} bytes")


@app.command()
def restore(
    file: Backup,
    redis_url: Url,
    replace: Annotated[bool, typer.Option(help="Overwrite keys that are there.")] = False,
) -> None:
    """Bring the keys of a file back; the whole file is checked before anything is written."""
    from redis import RedisError

    from services.common import redis_clients

    try:
        keys = list(read(file))
        with redis_clients.sync_client(redis_url, socket_timeout=_SECONDS) as redis:
            if not replace and any(redis.scan_iter(match=_PATTERN, count=_BATCH)):
                raise BadBackup("there are keys of the platform already: give --replace")
            for key, milliseconds, value in keys:
                redis.restore(key, milliseconds, value, replace=replace)
    except (RedisError, OSError, ValueError) as error:
        _fail(error)
    print(f"{len(keys)} keys")


def read_keys(redis: Any) -> Iterator[tuple[bytes, int, bytes]]:
    """Name, time to live in ms (0: for ever) and content of every key but leases."""
    # A scan may name a key twice.
    for name in sorted(set(redis.scan_iter(match=_PATTERN, count=_BATCH))):
        if name.endswith(_LEASE):
            continue
        left, value = redis.pttl(name), redis.dump(name)
        # One that expired since it was listed has no content.
        if value is not None:
            yield name, max(left, 0), value


def write(out: Any, keys: Iterable[tuple[bytes, int, bytes]]) -> int:
    """Write keys as lines between a head and their number; how many."""
    out.write(json.dumps({"format": FORMAT}) + "\n")
    count = 0
    for name, milliseconds, value in keys:
        row = [_text(name), milliseconds, _text(value)]
        out.write(json.dumps(row) + "\n")
        count += 1
    out.write(json.dumps({"keys": count}) + "\n")
    return count


def read(file: Path) -> Iterator[tuple[bytes, int, bytes]]:
    """The keys of a file; BadBackup where it is none or was cut off."""
    try:
        with gzip.open(file, "rt", encoding="ascii") as lines:
            if json.loads(next(lines, "null")) != {"format": FORMAT}:
                raise BadBackup(f"{file}: no backup of {FORMAT}")
            count = 0
            for line in lines:
                row = json.loads(line)
                if isinstance(row, dict):
                    break
                count += 1
                yield base64.b64decode(row[0]), row[1], base64.b64decode(row[2])
            else:
                row = {}
    except (gzip.BadGzipFile, EOFError, UnicodeError, json.JSONDecodeError) as error:
        raise BadBackup(f"{file}: {error}") from error
    if row.get("keys") != count:
        raise BadBackup(f"{file}: cut off after {count} keys")


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _fail(error: Exception) -> NoReturn:
    typer.echo(f"rstar: {error}", err=True)
    raise typer.Exit(1)
