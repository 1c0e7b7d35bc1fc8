"""An S3 server of one's own: moto's, a process that speaks HTTP."""

import contextlib
import http.client
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

START_SECONDS = 60
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    # A proxy of the machine has no business between a test and its server.
    "NO_PROXY": "127.0.0.1",
}


@contextlib.contextmanager
def s3_server(log: Path) -> Iterator[dict[str, str]]:
    """Run a server with the bucket `models`; yields the environment that reaches it."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
        try:
            url = _address(process, log)
            environment = {**ENVIRONMENT, "AWS_ENDPOINT_URL": url}
            _make_bucket(url)
            yield environment
        finally:
            process.terminate()
            process.wait(20)


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while not (found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text("utf-8"))):
        assert process.poll() is None, log.read_text("utf-8")
        assert time.monotonic() < deadline, "the S3 server did not start"
        time.sleep(0.05)
    return found[0]


def _make_bucket(url: str) -> None:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    connection.request("PUT", "/models")
    assert connection.getresponse().status == 200
    connection.close()


@contextlib.contextmanager
def environment(fields: dict[str, str]) -> Iterator[None]:
    """Set environment variables for a while."""
    before = {name: os.environ.get(name) for name in fields}
    os.environ |= fields
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
