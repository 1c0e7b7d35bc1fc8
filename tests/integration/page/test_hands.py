"""The page by keyboard alone, by its names for screen readers, and by mouse."""

import re

import pytest
from playwright.async_api import Page, expect

from tests.integration.page.asking import PROBLEM, ask, ended
from tests.integration.page.conftest import Open

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def scale(page: Page) -> float:
    transform = await page.locator(".tree > g").get_attribute("transform") or ""
    found = re.search(r"scale\((.*)\)", transform)
    assert found
    return float(found[1])


async def test_a_search_is_asked_and_read_without_a_mouse(visit: Open) -> None:
    async with visit() as page:
        await page.get_by_role("textbox", name="Problem").focus()
        await page.keyboard.type(PROBLEM)
        await page.keyboard.press("Control+Enter")
        await ended(page)
        tree = page.get_by_role("tree", name=re.compile("Search tree"))
        for _ in range(40):
            await page.keyboard.press("Tab")
            if await tree.evaluate("tree => tree === document.activeElement"):
                break
        await expect(tree).to_be_focused()
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("ArrowDown")
        step = page.get_by_role("treeitem", name=re.compile(r"Step 1: .*: Q .*visits?"))
        chosen = page.locator(f'[id="{await tree.get_attribute("aria-activedescendant")}"]')
        await expect(chosen).to_have_attribute("aria-label", re.compile(r"^Step 1: .*best path"))
        assert await step.count() >= 1
        await page.keyboard.press("Enter")
        card = page.get_by_role("group", name="Chosen node")
        await expect(card).to_be_focused()
        await page.keyboard.press("Escape")
        await expect(tree).to_be_focused()
        fitted = await scale(page)
        await page.keyboard.press("+")
        assert await scale(page) > fitted
        await page.keyboard.press("0")
        assert await scale(page) == fitted
        await expect(page.get_by_role("slider", name="Time")).to_be_visible()
        await expect(page.get_by_role("img", name=re.compile("^Confidence over"))).to_be_visible()


async def test_the_tree_is_panned_and_zoomed_by_mouse(visit: Open) -> None:
    async with visit() as page:
        await ask(page)
        await ended(page)
        await page.locator(".tree").scroll_into_view_if_needed()
        root = page.locator('.dot[aria-level="1"] > .shape')
        before = await root.bounding_box()
        box = await page.locator(".tree").bounding_box()
        assert before
        assert box
        corner = (box["x"] + 20, box["y"] + box["height"] - 20)
        await page.mouse.move(*corner)
        await page.mouse.down()
        await page.mouse.move(corner[0] + 60, corner[1] - 40, steps=4)
        await page.mouse.up()
        after = await root.bounding_box()
        assert after
        assert after["x"] - before["x"] == pytest.approx(60, abs=2)
        assert after["y"] - before["y"] == pytest.approx(-40, abs=2)
        k = await scale(page)
        frame = page.locator(".tree > g")
        panned = await frame.get_attribute("transform")
        await page.mouse.wheel(0, -200)
        await expect(frame).not_to_have_attribute("transform", panned or "")
        assert await scale(page) > k
        await page.get_by_role("button", name="Fit").click()
        again = await root.bounding_box()
        assert again
        assert again["x"] == pytest.approx(before["x"], abs=2)
