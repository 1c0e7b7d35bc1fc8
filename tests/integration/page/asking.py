"""What a reader does on the page."""

import os
import re
from pathlib import Path

from playwright.async_api import Page, expect

PROBLEM = r"How many is $1 + 1$, as $\frac{4}{2}$?"
LONG = 30_000  # milliseconds; these machines are slow at times


async def ask(page: Page, *, rollouts: int = 6, problem: str = PROBLEM) -> None:
    """Ask for a problem, and wait until the page has its address."""
    await page.fill("#problem", problem)
    await page.fill("input[name=rollouts]", str(rollouts))
    before = page.url
    await page.click("#solve")
    await page.wait_for_url(lambda url: url != before)


async def ended(page: Page, how: str = "finished") -> None:
    """Wait until the first search on the page has ended so."""
    state = page.locator(".pane-state").first
    await expect(state).to_have_text(re.compile(f"^{how}"), timeout=LONG)


async def shoot(page: Page, name: str) -> None:
    """A picture for whoever looks at what CI has made."""
    if folder := os.environ.get("RSTAR_SCREENSHOTS"):
        await page.screenshot(path=Path(folder, f"{name}.png"), full_page=True)
