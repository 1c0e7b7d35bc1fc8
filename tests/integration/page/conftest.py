"""The page in a real browser, over real Redis, sandbox and search, with a scripted policy."""

import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from tests.support.fleet import Fleet, Replica, running

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
Open = Callable[..., contextlib.AbstractAsyncContextManager[Page]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Debian's Chromium, without a window."""
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    assert found, "the page is tested in Chromium: apt-get install chromium"
    async with async_playwright() as playwright:
        # As root, in a container, Chromium's own sandbox does not start.
        made = await playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield made
        await made.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def fleet() -> AsyncIterator[Fleet]:
    """One replica of everything, whose policy takes its time."""
    with tempfile.TemporaryDirectory(prefix="rstar-") as folder:
        async with running(
            Path(folder), replicas=1, think_seconds=0.05, lease_seconds=1.0, adoption_seconds=0.2
        ) as started:
            yield started


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def visit(browser: Browser, fleet: Fleet) -> Open:
    """Opens the page; nothing may go wrong in it that it does not show."""

    @contextlib.asynccontextmanager
    async def opened(
        path: str = "/", at: Replica | None = None, **context: object
    ) -> AsyncIterator[Page]:
        made: BrowserContext = await browser.new_context(**context)  # type: ignore[arg-type]
        page = await made.new_page()
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "console",
            lambda message: (
                faults.append(message.text) if "Content Security Policy" in message.text else None
            ),
        )
        try:
            await page.goto((at or fleet.replicas[0]).url + path)
            yield page
            assert not faults
        finally:
            await made.close()

    return opened
