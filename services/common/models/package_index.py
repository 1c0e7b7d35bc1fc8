"""Find wheels on the package index that pip is set up to use, without installing anything.

The simple repository API, as JSON (PEP 691) or HTML (PEP 503). Of pip's configuration: index-url,
extra-index-url, no-index, cert, proxy. Indexes on the local disk (file://) are left out.
"""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urldefrag, urljoin

import httpx

from services.common.models.fetch import FetchError, Patience, get

_PYPI = "https://pypi.org/simple"
_ACCEPT = (
    "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, "
    "text/html;q=0.1"
)
_OPTION = re.compile(r"(?P<section>[^.]+)\.(?P<name>[\w-]+)=(?P<value>.+)")
# What pip obeys first.
_SECTIONS = (":env:", "install", "global")


@dataclass(frozen=True, slots=True)
class PipConfig:
    """The part of pip's configuration that says how to reach packages."""

    indexes: tuple[str, ...] = (_PYPI,)
    cert: str | None = None
    proxy: str | None = None

    @classmethod
    def load(cls) -> "PipConfig":
        """As pip itself sees it; where there is no pip, as its environment variables say."""
        return cls.parse(_listed() or _from_environment(os.environ))

    @classmethod
    def parse(cls, listing: str) -> "PipConfig":
        """Read what `pip config list` prints."""
        options: dict[tuple[str, str], str] = {}
        for line in listing.splitlines():
            if match := _OPTION.fullmatch(line.strip()):
                options[match["section"], match["name"]] = str(ast.literal_eval(match["value"]))

        def option(name: str) -> str | None:
            values = (options.get((section, name)) for section in _SECTIONS)
            return next((value for value in values if value), None)

        urls = [option("index-url") or _PYPI, *(option("extra-index-url") or "").split()]
        if (option("no-index") or "").lower() in {"1", "true", "yes", "on"}:
            urls = []
        indexes = tuple(url for url in urls if url.startswith(("http://", "https://")))
        return cls(indexes, option("cert"), option("proxy"))


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel that an index offers; `size` is in bytes."""

    file: str
    url: str
    sha256: str | None
    size: int | None


def find_wheel(
    client: httpx.Client, config: PipConfig, project: str, version: str, patience: Patience
) -> Wheel:
    """The first wheel of exactly this version, over all indexes in order.

    Raises:
        FetchError: no index has it; the message says what each answered.
    """
    answers = []
    for index in config.indexes:
        url = f"{index.rstrip('/')}/{_normal(project)}/"
        host = httpx.URL(index).host
        try:
            wheels = _wheels(get(client, url, {"Accept": _ACCEPT}, patience))
        except FetchError as error:
            answers.append(str(error))
            continue
        except (ValueError, LookupError, TypeError, AttributeError):
            answers.append(f"{host}: its answer is no index page")
            continue
        for wheel in wheels:
            name, found = wheel.file.split("-")[:2]
            if _normal(name) == _normal(project) and found == version:
                return wheel
        answers.append(f"{host}: no such wheel")
    raise FetchError(f"{project} {version}: {'; '.join(answers) or 'no package index is set'}")


def _wheels(response: httpx.Response) -> list[Wheel]:
    if "json" in response.headers.get("content-type", ""):
        files = response.json()["files"]
    else:
        links = _Links()
        links.feed(response.text)
        files = links.files
    return [
        Wheel(
            file=str(entry["filename"]),
            url=urljoin(str(response.url), entry["url"]),
            sha256=entry.get("hashes", {}).get("sha256"),
            size=entry.get("size"),
        )
        for entry in files
        if entry["filename"].endswith(".whl")
    ]


class _Links(HTMLParser):
    """Collects the files of an HTML index page in the shape of the JSON ones."""

    def __init__(self) -> None:
        super().__init__()
        self.files: list[dict[str, Any]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        link = dict(attrs).get("href") if tag == "a" else None
        if link:
            url, fragment = urldefrag(link)
            algorithm, _, digest = fragment.partition("=")
            self.files.append(
                {"filename": url.rsplit("/", 1)[-1], "url": url, "hashes": {algorithm: digest}}
            )


def _normal(name: str) -> str:
    """A project's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _listed() -> str:
    command = [sys.executable, "-m", "pip", "config", "list"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _from_environment(environment: Mapping[str, str]) -> str:
    options = {k.removeprefix("PIP_"): v for k, v in environment.items() if k.startswith("PIP_")}
    return "\n".join(
        f":env:.{name.lower().replace('_', '-')}={value!r}" for name, value in options.items()
    )
