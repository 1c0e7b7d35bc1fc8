"""The page by axe-core's rules, with everything open that can be opened."""

import hashlib
import importlib.util
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.integration.page.asking import ask, ended, shoot
from tests.integration.page.conftest import Open

pytestmark = pytest.mark.asyncio(loop_scope="session")

AXE_SHA256 = "84494fec757e4710dc751c8d7a636e457f4532f08f85c86dc9070133fbff53bc"
RUN = """async (part) => {
  const found = await axe.run(part, {resultTypes: ["violations"]});
  return found.violations.map(({id, nodes}) => [id, nodes.map((one) => one.html.slice(0, 200))]);
}"""


def axe() -> str:
    """axe-core's own script out of its wheel, which is not imported."""
    spec = importlib.util.find_spec("axe_playwright_python")
    assert spec is not None
    assert spec.origin is not None
    script = Path(spec.origin).with_name("axe.min.js").read_bytes()
    assert hashlib.sha256(script).hexdigest() == AXE_SHA256
    return script.decode()


async def violations(page: Page, part: str = "html") -> list[object]:
    found: list[object] = await page.evaluate(RUN, part)
    return found


async def test_axe_finds_nothing_in_light_and_dark(visit: Open) -> None:
    async with visit(color_scheme="light") as page:
        await page.evaluate(axe())
        await ask(page)
        await ended(page)
        await page.locator('.dot[aria-level="2"] > .shape').first.click()
        await expect(page.locator(".card h3")).to_be_visible()
        await page.click("#show-history")
        await page.locator(".shape summary").click()
        await page.locator("#history").get_by_role("button", name="Beside").first.click()
        await expect(page.locator(".pane")).to_have_count(2)
        await ended(page)
        await shoot(page, "open-light")
        assert await violations(page) == []
        await page.emulate_media(color_scheme="dark")
        await shoot(page, "open-dark")
        assert await violations(page) == []
        await page.click("#show-key")
        assert await violations(page, "#key-dialog") == []
        # It would find something where there is something to find.
        await page.evaluate("document.querySelector('#key-dialog .primary').textContent = ''")
        assert "button-name" in str(await violations(page, "#key-dialog"))
