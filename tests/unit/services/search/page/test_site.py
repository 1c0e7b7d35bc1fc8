import hashlib
import re
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from services.search.page.site import STATIC, find_reports, install

VENDOR = STATIC / "vendor"
OWN = sorted([*STATIC.glob("js/*.js"), STATIC / "index.html", STATIC / "style.css"])


def client(reports: Path | None = None) -> httpx.AsyncClient:
    app = FastAPI()
    install(app, reports=reports)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://page")


def test_every_vendored_file_is_the_one_that_was_taken() -> None:
    listed = dict(
        reversed(line.split("  ")) for line in (VENDOR / "SHA256SUMS").read_text().splitlines()
    )
    there = {
        path.relative_to(VENDOR).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.rglob("*")
        if path.is_file() and path.name not in ("SHA256SUMS", "README.md")
    }
    assert there == listed


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_nothing_on_the_page_comes_from_elsewhere_or_runs_inline(path: Path) -> None:
    text = path.read_text()
    urls = set(re.findall(r"https?://[^\s\"'`)]+", text)) - {"http://www.w3.org/2000/svg"}
    assert not urls
    assert not re.search(r"<script(?![^>]*\ssrc=)|\son\w+=\"|style=\"", text)


@pytest.mark.parametrize("path", sorted(STATIC.glob("js/*.js")), ids=lambda path: path.name)
def test_every_module_that_is_imported_exists(path: Path) -> None:
    for target in re.findall(r"from \"(\.[^\"]+)\"", path.read_text()):
        assert (path.parent / target).is_file()


async def test_the_page_and_its_parts_are_served_under_a_strict_policy() -> None:
    async with client() as page:
        for path in ("/", "/static/js/main.js", "/static/vendor/katex/katex.min.css"):
            response = await page.get(path)
            assert response.status_code == 200
            policy = response.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
        assert (await page.get("/static/../site.py")).status_code == 404
        assert (await page.get("/reports")).json() == []


async def test_reports_are_listed_by_their_titles_and_served_without_scripts(
    tmp_path: Path,
) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "report.html").write_text("<title>A &lt; B</title>")
    (tmp_path / "second").mkdir()
    (tmp_path / "second" / "report.html").write_text("no title")
    (tmp_path / "empty").mkdir()
    assert {one.title for one in find_reports(tmp_path)} == {"A < B", "second"}
    async with client(tmp_path) as page:
        listed = (await page.get("/reports")).json()
        response = await page.get("/" + next(r["path"] for r in listed if r["title"] == "A < B"))
        assert response.status_code == 200
        assert "script-src" not in response.headers["content-security-policy"]
        assert "default-src 'none'" in response.headers["content-security-policy"]
