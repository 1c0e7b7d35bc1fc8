import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.integration.page.asking import LONG, PROBLEM, ask, ended, shoot
from tests.integration.page.conftest import Open
from tests.support.fleet import Fleet

pytestmark = pytest.mark.asyncio(loop_scope="session")

# The scripted policy writes two as 2, 2.0 or 4/2; whichever came first names the class.
TWO = re.compile(r"^(2|2\.0|4/2)$")


async def test_a_problem_is_solved_before_the_readers_eyes(visit: Open) -> None:
    async with visit() as page:
        await page.fill("#problem", PROBLEM)
        await expect(page.locator("#preview .katex")).to_have_count(2)
        await expect(page.locator("select[name=method] option[value=mcts]")).to_be_attached()
        await ask(page, rollouts=12)
        await expect(page.locator(".dot").nth(1)).to_be_attached(timeout=LONG)
        await ended(page)
        await expect(page.locator(".answer-value")).to_have_text(TWO)
        await expect(page.locator(".alternatives tbody tr")).not_to_have_count(0)
        await expect(page.locator(".dot.best")).not_to_have_count(0)
        await expect(page.locator(".meters dt")).to_have_text(["Tokens", "Rollouts", "Seconds"])
        await expect(page.locator("#stop")).to_be_disabled()
        await shoot(page, "solved")


async def test_a_node_shows_its_step_and_the_keyboard_walks_the_tree(visit: Open) -> None:
    async with visit() as page:
        await ask(page)
        await ended(page)
        await page.locator('.dot[aria-level="2"] > .shape').first.click()
        card = page.locator(".card")
        await expect(card.locator("pre code")).to_contain_text(re.compile(r"n = \d+|print"))
        for name in ("Visits", "Mean log-probability", "Time in policy", "Time in sandbox"):
            await expect(card.locator(".figures")).to_contain_text(name)
        await page.locator(".tree").focus()
        await page.keyboard.press("ArrowUp")
        await expect(card.locator("h3")).to_have_text("The problem")
        await page.keyboard.press(" ")
        await expect(page.locator(".dot")).to_have_count(1)
        await page.keyboard.press(" ")
        await expect(page.locator(".dot").nth(1)).to_be_attached()
        await page.keyboard.press("ArrowDown")
        await expect(card.locator("pre code")).to_contain_text(re.compile(r"n = \d+|print"))


async def test_stop_ends_the_search_with_what_it_has(visit: Open) -> None:
    async with visit() as page:
        await ask(page, rollouts=5_000)
        await expect(page.locator(".dot").nth(1)).to_be_attached(timeout=LONG)
        await page.click("#stop")
        await ended(page, "stopped")


async def test_a_link_replays_a_search_up_to_any_moment(visit: Open) -> None:
    async with visit() as page:
        await ask(page, rollouts=12)
        await ended(page)
        address = page.url
        shown = await page.locator(".dot").count()
    async with visit(address[address.index("/?") :]) as page:
        await ended(page)
        await expect(page.locator(".dot")).to_have_count(shown)
        slider = page.locator(".time")
        await slider.fill("1")
        await expect(page.locator(".time-label")).to_have_text(re.compile("^0 of"))
        await expect(page.locator(".dot")).to_have_count(1)
        await slider.fill(await slider.get_attribute("max") or "")
        await expect(page.locator(".dot")).to_have_count(shown)


async def test_past_searches_are_found_and_set_side_by_side(visit: Open) -> None:
    async with visit() as page:
        await ask(page, problem="A first question of its own")
        await ended(page)
        await ask(page, problem="A second question of its own")
        await ended(page)
        await page.click("#show-history")
        await page.fill("#history-filter", "first question")
        rows = page.locator("#history tbody tr")
        await expect(rows).to_have_count(1)
        await rows.first.get_by_role("button", name=re.compile("^Beside")).click()
        await expect(page.locator(".pane")).to_have_count(2)
        await expect(page.locator(".pane-problem").nth(1)).to_have_text(
            "A first question of its own"
        )
        assert "beside=" in page.url
        await shoot(page, "beside")
        await page.locator(".pane").nth(1).get_by_role("button", name="Close").click()
        await expect(page.locator(".pane")).to_have_count(1)


async def test_a_search_can_be_taken_away(visit: Open, tmp_path: Path) -> None:
    async with visit() as page:
        await ask(page)
        await ended(page)
        for name in ("Solution .md", "Tree .json", "Tree .svg"):
            async with page.expect_download() as waiting:
                await page.get_by_role("button", name=name).click()
            download = await waiting.value
            await download.save_as(tmp_path / download.suggested_filename)
    _check_exports(tmp_path)


def _check_exports(folder: Path) -> None:
    (markdown,) = folder.glob("*.md")
    assert re.search(r"\*\*Answer:\*\* \$(2|2\.0|4/2)\$", markdown.read_text())
    (tree,) = folder.glob("*.json")
    assert any(node["outcome"] == "terminal" for node in json.loads(tree.read_text())["nodes"])
    (picture,) = folder.glob("*.svg")
    assert ET.parse(picture).getroot().tag.endswith("svg")  # noqa: S314 - we have just made it


async def test_what_is_refused_is_said(visit: Open) -> None:
    async with visit() as page:
        await page.fill("#problem", "   x")
        await page.evaluate("document.getElementById('problem').value = '   '")
        await page.click("#solve")
        await expect(page.locator("#notice")).to_contain_text("blank")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_fits_a_phone_in_light_and_dark(visit: Open, scheme: str) -> None:
    async with visit(viewport={"width": 390, "height": 844}, color_scheme=scheme) as page:
        await ask(page)
        await ended(page)
        width = await page.evaluate("document.documentElement.scrollWidth")
        assert width <= 390
        await shoot(page, f"phone-{scheme}")


async def test_it_goes_on_after_the_search_service_was_killed(visit: Open, fleet: Fleet) -> None:
    (replica,) = fleet.replicas
    async with visit() as page:
        await ask(page, rollouts=60)
        await expect(page.locator(".dot").nth(2)).to_be_attached(timeout=LONG)
        await replica.kill()
        state = page.locator(".pane-state")
        await expect(state).to_have_text(re.compile("reconnecting"), timeout=LONG)
        await replica.start()
        await ended(page)
        await expect(page.locator(".answer-value")).to_have_text(TWO)
