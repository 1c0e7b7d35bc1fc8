"""Download a file over HTTP: resumed where it was cut, retried, checked, each wait bounded."""

import contextlib
import hashlib
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

Report = Callable[[int], None]

_TRANSIENT = frozenset({408, 416, 425, 429, 500, 502, 503, 504})
_LONGEST_PAUSE_S = 30.0


class FetchError(Exception):
    """A file that could not be fetched; the message names it and says why."""


class WrongChecksum(FetchError):  # noqa: N818
    """The bytes that came are not the ones that were promised; they have been deleted."""


class _Cut(Exception):  # noqa: N818
    """An attempt ended early; another may go on where it stopped."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, and how often to try.

    Attributes:
        connect_s: for a connection, in seconds.
        read_s: for the next bytes, in seconds.
        attempts: in a row without one new byte.
        pause_s: before the second attempt; doubles from one to the next.
        least_bytes_per_s: an attempt that is slower is cut and counts as failed.
    """

    connect_s: float = 10.0
    read_s: float = 30.0
    attempts: int = 5
    pause_s: float = 0.5
    least_bytes_per_s: int = 16 * 1024

    def timeout(self) -> httpx.Timeout:
        """The same, for httpx."""
        return httpx.Timeout(self.read_s, connect=self.connect_s, pool=self.connect_s)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file to be fetched.

    Attributes:
        url: where it lies.
        name: what messages call it.
        sha256: of its bytes, in hex; None only where another check follows.
        size: in bytes, where it is known beforehand.
    """

    url: str
    name: str
    sha256: str | None = None
    size: int | None = None


def download(
    client: httpx.Client, wanted: Wanted, target: Path, patience: Patience, report: Report
) -> None:
    """Fetch a file into `target`, going on from `target`.part if an earlier try left one.

    Args:
        client: follows redirects.
        wanted: the file.
        target: where it goes, once it is whole and its checksum right.
        patience: limits on waiting.
        report: told, now and then, how many bytes of the file are here.

    Raises:
        WrongChecksum: the bytes are not those; none are kept.
        FetchError: it is not there, or every attempt failed.
    """
    part = target.with_name(target.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    resumed = part.exists()
    try:
        _fetch(client, wanted, part, patience, report)
        _check(part, wanted)
    except WrongChecksum:
        # What was there before may have been of another file: one fresh try is fair.
        if not resumed:
            raise
        _fetch(client, wanted, part, patience, report)
        _check(part, wanted)
    part.replace(target)


def get(
    client: httpx.Client, url: str, headers: Mapping[str, str], patience: Patience
) -> httpx.Response:
    """A small answer, retried where the trouble may pass.

    Raises:
        FetchError: every attempt failed, or the server refuses.
    """
    host = httpx.URL(url).host
    failures = 0
    while True:
        try:
            response = client.get(url, headers=headers, timeout=patience.timeout())
            if response.is_success:
                return response
            reason = f"HTTP {response.status_code}"
            if response.status_code not in _TRANSIENT:
                raise FetchError(f"{host}: {reason}")
        except httpx.TransportError as error:
            reason = _reason(error)
        failures += 1
        if failures >= patience.attempts:
            raise FetchError(f"{host}: {reason} ({failures} attempts)")
        _pause(failures, patience)


def _fetch(
    client: httpx.Client, wanted: Wanted, part: Path, patience: Patience, report: Report
) -> None:
    """Attempt after attempt until the file is whole; gives up when none brings a new byte."""
    failures = 0
    while True:
        before = _size(part)
        try:
            _attempt(client, wanted, part, patience, report)
            return
        except (_Cut, httpx.TransportError) as error:
            failures = 1 if _size(part) > before else failures + 1
            if failures >= patience.attempts:
                reason = f"{_reason(error)} ({failures} attempts)"
                raise FetchError(f"{wanted.name}: {reason}") from error
        except httpx.HTTPError as error:
            raise FetchError(f"{wanted.name}: {_reason(error)}") from error
        _pause(failures, patience)


def _pause(failures: int, patience: Patience) -> None:
    seconds = min(patience.pause_s * 2 ** (failures - 1), _LONGEST_PAUSE_S)
    time.sleep(seconds * random.uniform(0.5, 1.0))  # noqa: S311 - spreads retries, no secret


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _attempt(
    client: httpx.Client, wanted: Wanted, part: Path, patience: Patience, report: Report
) -> None:
    have = _size(part)
    if wanted.size is not None and have >= wanted.size:
        if have == wanted.size:
            return
        part.unlink()
        have = 0
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with client.stream("GET", wanted.url, headers=headers, timeout=patience.timeout()) as response:
        start = _start(response, have, part, wanted)
        total = _total(response, start, wanted)
        deadline = time.monotonic() + patience.read_s + (total or 0) / patience.least_bytes_per_s
        with part.open("r+b" if start else "wb") as file:
            file.seek(start)
            file.truncate()
            for chunk in response.iter_bytes():
                file.write(chunk)
                report(file.tell())
                if total is not None and file.tell() > total:
                    raise FetchError(f"{wanted.name}: longer than the {total} bytes expected")
                if time.monotonic() > deadline:
                    raise _Cut(f"slower than {patience.least_bytes_per_s} bytes a second")
            if total is not None and file.tell() < total:
                raise _Cut(f"cut short at {file.tell()} of {total} bytes")


def _start(response: httpx.Response, have: int, part: Path, wanted: Wanted) -> int:
    """Where the answer's bytes belong.

    Raises:
        _Cut: a trouble that may pass.
        FetchError: one that will not.
    """
    status = response.status_code
    if status == httpx.codes.PARTIAL_CONTENT:
        answered = response.headers.get("content-range", "")
        if have and answered.startswith(f"bytes {have}-"):
            return have
        raise _Cut(f"asked for bytes {have}-, was sent {answered!r}")
    if status == httpx.codes.OK:
        return 0
    if status == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
        part.unlink(missing_ok=True)
    if status in _TRANSIENT:
        raise _Cut(f"HTTP {status}")
    raise FetchError(f"{wanted.name}: HTTP {status} from {response.url.host}")


def _total(response: httpx.Response, start: int, wanted: Wanted) -> int | None:
    """Length of the whole file in bytes, as promised, else as the server says."""
    if wanted.size is not None:
        return wanted.size
    length = response.headers.get("content-length", "")
    return start + int(length) if length.isdigit() else None


def _check(part: Path, wanted: Wanted) -> None:
    if wanted.sha256 is None:
        return
    with part.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != wanted.sha256:
        part.unlink()
        raise WrongChecksum(f"{wanted.name}: sha256 is {found}, should be {wanted.sha256}; deleted")


def _size(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0
