"""A package index and file server on this machine, with faults to order.

Speaks the simple repository API as JSON (PEP 691) or HTML (PEP 503), answers Range requests, and
serves any other path as a plain file, as the Hugging Face hub does.
"""

import contextlib
import hashlib
import io
import json
import threading
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong once: a status instead of an answer, or a body that ends early."""

    status: int | None = None
    cut_after: int | None = None


@dataclass
class PackageServer:
    """What is served, and what was asked for."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    projects: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    faults: dict[str, list[Fault]] = field(default_factory=lambda: defaultdict(list))
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    html: bool = False
    ignore_ranges: bool = False
    wrong_hashes: set[str] = field(default_factory=set)

    def add_wheel(self, project: str, version: str, members: dict[str, bytes]) -> str:
        """Serve a wheel with these members; returns its path."""
        file = f"{project.replace('-', '_')}-{version}-py3-none-any.whl"
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        path = f"/files/{file}"
        self.files[path] = buffer.getvalue()
        self.projects[project].append(file)
        return path

    def gets(self, path: str) -> list[str]:
        """The Range headers of the GET requests for a path, "" for none."""
        return [sent for method, asked, sent in self.requests if (method, asked) == ("GET", path)]

    def page(self, project: str) -> tuple[str, bytes]:
        """A project's page on the index: its content type and body."""
        entries = []
        for file in self.projects[project]:
            content = self.files[f"/files/{file}"]
            digest = "0" * 64 if file in self.wrong_hashes else hashlib.sha256(content).hexdigest()
            entries.append((file, digest, len(content)))
        if self.html:
            links = (f'<a href="../../files/{f}#sha256={d}">{f}</a>' for f, d, _ in entries)
            return "text/html", f"<!DOCTYPE html><body>{''.join(links)}</body>".encode()
        files = [
            {"filename": f, "url": f"../../files/{f}", "hashes": {"sha256": d}, "size": size}
            for f, d, size in entries
        ]
        body = json.dumps({"meta": {"api-version": "1.1"}, "name": project, "files": files})
        return "application/vnd.pypi.simple.v1+json", body.encode()


class _Handler(BaseHTTPRequestHandler):
    served: PackageServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer(send_body=True)

    def do_HEAD(self) -> None:
        self.answer(send_body=False)

    def answer(self, *, send_body: bool) -> None:
        sent = self.headers.get("Range", "")
        self.served.requests.append((self.command, self.path, sent))
        fault = Fault()
        if send_body and self.served.faults[self.path]:
            fault = self.served.faults[self.path].pop(0)
        body, kind = self.body()
        if fault.status or body is None:
            self.reply(fault.status or 404, b"", {}, None)
            return
        headers = {"Content-Type": kind}
        status, start = 200, 0
        if sent and not self.served.ignore_ranges:
            start = int(sent.removeprefix("bytes=").rstrip("-"))
            status = 206 if start < len(body) else 416
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        content = body[start:] if status != 416 else b""
        self.reply(status, content, headers, fault.cut_after, send_body=send_body)

    def body(self) -> tuple[bytes | None, str]:
        parts = self.path.strip("/").split("/")
        if parts[0] == "simple" and parts[1] in self.served.projects:
            kind, page = self.served.page(parts[1])
            return page, kind
        return self.served.files.get(self.path), "application/octet-stream"

    def reply(
        self,
        status: int,
        content: bytes,
        headers: dict[str, str],
        cut_after: int | None,
        *,
        send_body: bool = True,
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if send_body:
            self.wfile.write(content[:cut_after])
        if cut_after is not None:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep quiet: what was asked for is in `requests`."""


@contextlib.contextmanager
def package_server() -> Iterator[PackageServer]:
    """Serve on a free port of this machine until the block ends."""
    served = PackageServer("")
    handler = type("Handler", (_Handler,), {"served": served})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        served.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield served
        finally:
            http.shutdown()
            thread.join()
