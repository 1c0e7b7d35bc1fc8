"""A tree of 2,000 nodes in a real browser: what a trial costs is counted, not timed."""

import contextlib
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, expect

from services.search.forest import Forest, ForestConfig
from services.search.schemas import Progress, SolveRequest, Usage
from services.search.store import keys
from services.search.store.connection import Connection
from services.search.store.events import Started, TrialTold, TrialUsage
from services.search.store.searches import SearchStore
from services.search.tree import Expansion, Guidance
from tests.integration.page.conftest import Open
from tests.support.fleet import Fleet
from tests.support.search_world import World, config, grow

pytestmark = pytest.mark.asyncio(loop_scope="session")

NODES = 2_000
CANDIDATES = 4
DEPTH = 12
LONG = 30_000  # milliseconds

# What is written into the tree, from one question to the next: elements, and new ones among them.
WATCH = """() => {
  let [elements, added] = [new Set(), 0];
  new MutationObserver((records) => {
    for (const record of records) {
      elements.add(record.target);
      added += record.addedNodes.length;
    }
  }).observe(document.querySelector(".tree"), {
    attributes: true, childList: true, characterData: true, subtree: true,
  });
  window.written = () => {
    const told = {elements: elements.size, added};
    [elements, added] = [new Set(), 0];
    return told;
  };
}"""

# How often the label of the time was written, which every drawing does, and how many frames were.
COUNT = """() => {
  window.drawings = 0;
  window.frames = 0;
  const label = document.querySelector(".time-label");
  new MutationObserver(() => (window.drawings += 1)).observe(label, {childList: true});
  const frame = () => ((window.frames += 1), requestAnimationFrame(frame));
  requestAnimationFrame(frame);
}"""


class Growing:
    """A search whose log is written here, as its holder would, and followed by the page."""

    def __init__(self, store: SearchStore, shape: ForestConfig) -> None:
        self.search_id = keys.new_id()
        self.forest = Forest(shape)
        self.trials = 0
        self._store = store
        self._world = World(3, shape, letters="abcdefghijklmnopqrst")

    async def begin(self) -> None:
        """Write its first entry, and trials up to 2,000 nodes."""
        request = SolveRequest(problem="How far does it grow?")
        guided = "ppm-1" if self.forest.config.guided else None
        started = Started(request, self.forest.config, seed=7, ppm=guided)
        await self._store.create(self.search_id, started)
        while self.forest.size < NODES:
            await self.grow(50)

    async def grow(self, trials: int) -> None:
        """Write so many trials more, in one message."""
        events = grow(self.forest, self._world, trials)
        assert len(events) == trials
        self.trials += trials
        leader = self.forest.ballot.leader
        progress = Progress(
            search_id=self.search_id,
            answer=leader.answer if leader else None,
            confidence=0.5,
            usage=Usage(rollouts=self.forest.rollouts),
        )
        told = [TrialTold(event, TrialUsage(), progress) for event in events]
        await self._store.append(self._store.held[self.search_id], told)

    def most_marks(self) -> int:
        """Most marks that one trial may change or move: those of its path, and beside it."""
        nodes = (node for tree in self.forest.trees for node in tree.nodes.values())
        return (DEPTH + 1) * max(len(node.children) for node in nodes)

    def figures(self) -> dict[str, tuple[int, int]]:
        """What the page shows of each node's numbers: Q in hundredths, and visits."""
        return {
            node.id: (round(100 * tree.q(node)), node.visits)
            for tree in self.forest.trees
            for node in tree.nodes.values()
        }


@contextlib.asynccontextmanager
async def growing(fleet: Fleet, **shape: object) -> AsyncIterator[Growing]:
    """A search of 2,000 nodes that goes on; nobody takes it over while it is written here."""
    connection = Connection(fleet.redis_url, timeout_seconds=10.0)
    store = SearchStore(connection, replica="page", lease_seconds=600.0, retention_seconds=600)
    made = Growing(
        store,
        config(candidates=CANDIDATES, depth=DEPTH, expansion=Expansion.STEP, **shape),
    )
    try:
        await made.begin()
        yield made
        await store.request_cancel(made.search_id)
    finally:
        await store.close()


@contextlib.asynccontextmanager
async def watched(
    visit: Open, fleet: Fleet, guidance: Guidance = Guidance.PPM
) -> AsyncIterator[tuple[Growing, Page]]:
    """Such a search, and the page that shows all of it."""
    async with (
        growing(fleet, guidance=guidance) as search,
        visit(f"/?search={search.search_id}") as page,
    ):
        await reached(page, search.trials)
        await expect(page.locator(".dot")).to_have_count(search.forest.size + 1)
        yield search, page


async def reached(page: Page, trials: int) -> None:
    label = page.locator(".time-label")
    await expect(label).to_have_text(f"{trials} of {trials} trials", timeout=LONG)


@pytest.mark.parametrize("guidance", [Guidance.PPM, Guidance.CONSISTENCY])
async def test_a_trial_costs_what_it_changed(visit: Open, fleet: Fleet, guidance: Guidance) -> None:
    async with watched(visit, fleet, guidance) as (search, page):
        await page.evaluate(WATCH)
        for _ in range(6):
            before = search.figures()
            await search.grow(1)
            await reached(page, search.trials)
            # Without a PPM every Q moves with the votes at the root.
            changed = sum(before.get(key) != now for key, now in search.figures().items())
            cost = await page.evaluate("written()")
            # A mark is four elements: itself, its shape, its link, its label.
            assert 0 < cost["elements"] <= 4 * (changed + search.most_marks())
            assert cost["added"] <= 6 * (len(search.figures()) - len(before))


async def test_a_fold_moves_its_branch_and_many_trials_are_drawn_once_a_frame(
    visit: Open, fleet: Fleet
) -> None:
    async with watched(visit, fleet) as (search, page):
        await page.evaluate(WATCH)
        await page.evaluate("window.kept = document.querySelectorAll('.dot')[700]")
        await page.locator(".tree").focus()
        await page.keyboard.press("Home")
        await page.keyboard.press(" ")
        await expect(page.locator(".dot")).to_have_count(1)
        assert (await page.evaluate("written()"))["elements"] <= 6
        await page.keyboard.press(" ")
        await expect(page.locator(".dot")).to_have_count(search.forest.size + 1)
        cost = await page.evaluate("written()")
        assert cost["elements"] <= 6
        assert cost["added"] <= 2  # the branch itself; what is in it has never gone
        assert await page.evaluate("document.querySelectorAll('.dot')[700] === window.kept")
        await page.evaluate(COUNT)
        await search.grow(200)
        await reached(page, search.trials)
        counted = await page.evaluate("({drawings, frames})")
        assert 1 <= counted["drawings"] <= counted["frames"] + 1
        assert counted["drawings"] < 200
