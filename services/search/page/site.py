"""Serves the page, what it is made of, and the trainer's reports."""

import html
import re
from collections.abc import Mapping
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

STATIC = Path(__file__).parent / "static"
PAGE_FILE = "report.html"

_SHARED = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'"
# Nothing from elsewhere, nothing inline: what a model wrote can never run.
PAGE_POLICY = (
    f"{_SHARED}; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'"
)
# Reports have no scripts; their one style sheet stands in the page.
REPORT_POLICY = f"{_SHARED}; img-src 'self'; style-src 'unsafe-inline'"

_MAX_REPORTS = 200
_HEAD_BYTES = 4096
_TITLE = re.compile(r"<title>(.*?)</title>", re.DOTALL)


class Report(BaseModel):
    """A page that the trainer wrote."""

    title: str
    path: str = Field(description="Where it is served, relative to this list's folder.")


class _Files(StaticFiles):
    """Static files with headers of their own."""

    def __init__(self, directory: Path, headers: Mapping[str, str]) -> None:
        super().__init__(directory=directory)
        self._headers = headers

    async def get_response(self, path: str, scope: Scope) -> Response:
        """A file, or 404."""
        response = await super().get_response(path, scope)
        response.headers.update(self._headers)
        return response


def install(app: FastAPI, *, reports: Path | None) -> None:
    """Serve the page at `/`, its parts at `/static`, and a folder of reports at `/reports`.

    Args:
        app: the application.
        reports: folder whose folders may hold a `report.html` each; None for none.
    """
    page_headers = _headers(PAGE_POLICY)

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html", headers=page_headers)

    @app.get(
        "/reports",
        summary="List the reports of evaluations and of the trainer's rounds",
        operation_id="listReports",
        tags=["status"],
    )
    def list_reports() -> list[Report]:
        return find_reports(reports) if reports else []

    app.mount("/static", _Files(STATIC, page_headers), name="static")
    if reports is not None:
        app.mount("/reports", _Files(reports, _headers(REPORT_POLICY)), name="reports")


def find_reports(folder: Path) -> list[Report]:
    """The reports in the folders of a folder, the newest first, at most 200."""
    pages = [path for path in folder.glob(f"*/{PAGE_FILE}") if path.is_file()]
    pages.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    return [
        Report(title=_title(path), path=f"reports/{path.parent.name}/{PAGE_FILE}")
        for path in pages[:_MAX_REPORTS]
    ]


def _title(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES).decode(errors="replace")
    match = _TITLE.search(head)
    return html.unescape(match[1].strip()) if match else path.parent.name


def _headers(policy: str) -> dict[str, str]:
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        # Checked against its ETag each time, so that a new version is seen at once.
        "Cache-Control": "no-cache",
    }
