"""The page of a service that asks for keys and publishes reports."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.integration.page.asking import ask, ended, shoot
from tests.integration.page.conftest import Open
from tests.support.fleet import Fleet, Replica

pytestmark = pytest.mark.asyncio(loop_scope="session")

ADMIN = "rs-" + "0123456789abcdef" * 3
ODD = {
    "markup": "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>?",
    "right-to-left": "كم يساوي $1 + 1$ إذا كان العدد صحيحا؟",
    "long": "how many " + "very" * 3_000 + " $" + "x" * 500 + "$?",
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def locked(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Replica]:
    """A replica that wants a key, with the report of an evaluation and of an evolution."""
    reports = tmp_path_factory.mktemp("reports")
    for name in ("Evaluation: gsm8k", "Evolution lab"):
        folder = reports / name.split()[0].strip(":").lower()
        folder.mkdir()
        (folder / "report.html").write_text(f"<title>{name}</title><h1>{name}</h1>")
    replica = fleet.replica("locked", auth="keys", admin_key=ADMIN, reports=reports)
    try:
        await replica.start()
        yield replica
    finally:
        await replica.stop()


async def test_a_key_is_asked_for_and_kept(visit: Open, locked: Replica) -> None:
    async with visit(at=locked) as page:
        await page.fill("#problem", "What is 1 + 1?")
        await page.click("#solve")
        dialog = page.get_by_role("dialog", name="API key")
        await expect(dialog).to_be_visible()
        await expect(page.locator("#notice")).not_to_be_empty()
        await shoot(page, "key")
        await dialog.get_by_label("Key").fill(ADMIN)
        await page.keyboard.press("Enter")
        await expect(dialog).not_to_be_visible()
        await expect(page.locator("#notice")).to_be_empty()
        await ask(page)
        await ended(page)
        await page.reload()
        await ended(page)


async def test_reports_of_evaluations_and_evolutions_are_linked(
    visit: Open, locked: Replica
) -> None:
    async with visit(at=locked) as page:
        await page.get_by_role("button", name="Reports").click()
        links = page.locator("#reports a")
        await expect(links).to_have_count(2)
        await page.get_by_role("link", name="Evolution lab").click()
        await expect(page.get_by_role("heading", name="Evolution lab")).to_be_visible()


async def test_an_odd_text_is_shown_as_it_is(visit: Open) -> None:
    async with visit(viewport={"width": 390, "height": 844}) as page:
        for name, problem in ODD.items():
            await ask(page, problem=problem, rollouts=2)
            await expect(page.locator(".pane-problem")).to_contain_text(problem[:9])
            await ended(page)
            await page.locator('.dot[aria-level="1"] > .shape').click()
            await expect(page.locator(".problem-text")).to_contain_text(problem[:9])
            await expect(page).to_have_title("rStar")
            await expect(page.locator(".pane script, .pane img, #preview img")).to_have_count(0)
            assert await page.evaluate("document.documentElement.scrollWidth") <= 390
            await shoot(page, f"odd-{name}")
