"""What trials cost the page at 2,000 nodes: `python -m tests.support.page_frames [unguided]`.

Follows a log of 2,000 nodes and then 100 trials more, one in 50 ms, in headless Chromium; prints
milliseconds of the page's main thread a trial, and the gaps between animation frames.
"""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator

import uvicorn
from fastapi import FastAPI
from playwright.async_api import CDPSession, async_playwright
from starlette.responses import StreamingResponse

from rstar.stack.ports import free_ports
from services.search.forest import Forest
from services.search.log_view import LogView
from services.search.page import site
from services.search.rest import sse
from services.search.schemas import Progress, SolveRequest, Usage
from services.search.store.entry import Entry, entry_id
from services.search.store.events import Event, Started, TrialTold, TrialUsage
from services.search.tree import Expansion, Guidance
from tests.support.search_world import World, config, grow

NODES = 2_000
MORE = 100
PAUSE_SECONDS = 0.05
LOCALHOST = "127.0.0.1"
PHASES = ("ScriptDuration", "RecalcStyleDuration", "LayoutDuration", "TaskDuration")
GAPS = """() => {
  window.gaps = [];
  let last = performance.now();
  const frame = (now) => {
    gaps.push(now - last);
    last = now;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}"""


def log(guidance: Guidance) -> list[str]:
    """The log as its followers are sent it."""
    shape = config(candidates=4, depth=12, expansion=Expansion.STEP, guidance=guidance)
    forest, world = Forest(shape), World(3, shape, letters="abcdefghijklmnopqrst")
    told = []
    while forest.size < NODES:
        told += grow(forest, world, 10)
    told += grow(forest, world, MORE)
    ppm = "ppm-1" if guidance is Guidance.PPM else None
    events: list[Event] = [Started(SolveRequest(problem="?"), shape, seed=7, ppm=ppm)]
    for number, one in enumerate(told):
        progress = Progress(
            search_id="s", answer="d", confidence=0.5 + number % 40 / 100, usage=Usage()
        )
        events.append(TrialTold(one, TrialUsage(), progress))
    view, lines = LogView("s"), []
    for number, event in enumerate(events, 1):
        brought = view.fold(Entry(entry_id(number), event))
        assert brought is not None
        kind = "started" if number == 1 else "trial"
        lines.append(sse.event(kind, brought.model_dump_json(), entry_id(number)))
    return lines


def app(lines: list[str], go: asyncio.Event) -> FastAPI:
    """The page, and that log: its last trials one by one once they are asked for."""
    made = FastAPI()

    async def told() -> AsyncIterator[str]:
        yield "".join(lines[:-MORE])
        await go.wait()
        for line in lines[-MORE:]:
            yield line
            await asyncio.sleep(PAUSE_SECONDS)
        await asyncio.Event().wait()

    @made.get("/searches/s/events")
    async def events() -> StreamingResponse:
        return StreamingResponse(told(), media_type="text/event-stream")

    site.install(made, reports=None)
    return made


async def spent(session: CDPSession) -> dict[str, float]:
    """Seconds of the main thread so far, by phase."""
    told = await session.send("Performance.getMetrics")
    return {one["name"]: one["value"] for one in told["metrics"] if one["name"] in PHASES}


async def measure(url: str, trials: int, go: asyncio.Event) -> None:
    """Print what the last trials cost."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = await browser.new_page(viewport={"width": 1280, "height": 1000})
        await page.goto(f"{url}/?search=s")
        label = page.locator(".time-label")
        await label.filter(has_text=f"{trials - MORE} of").wait_for()
        session = await page.context.new_cdp_session(page)
        await session.send("Performance.enable")
        await page.evaluate(GAPS)
        before = await spent(session)
        go.set()
        await label.filter(has_text=f"{trials} of").wait_for()
        after = await spent(session)
        for name in PHASES:
            print(f"{name:20} {1000 * (after[name] - before[name]) / MORE:6.1f} ms a trial")
        gaps: list[float] = sorted(await page.evaluate("gaps.slice(2)"))
        median, most = gaps[len(gaps) // 2], gaps[int(0.95 * (len(gaps) - 1))]
        print(f"gaps: median {median:.1f}, 95 % {most:.1f}, longest {gaps[-1]:.1f} ms;", end=" ")
        print(f"{sum(gap > 34 for gap in gaps)} of {len(gaps)} over 34 ms")
        await browser.close()


async def main() -> None:
    """Serve the page and measure it."""
    guidance = Guidance.CONSISTENCY if "unguided" in sys.argv[1:] else Guidance.PPM
    lines, go = log(guidance), asyncio.Event()
    (port,) = free_ports(LOCALHOST, 1)
    server = uvicorn.Server(
        uvicorn.Config(app(lines, go), port=port, log_level="error", timeout_graceful_shutdown=1)
    )
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.05)
    try:
        await measure(f"http://{LOCALHOST}:{port}", len(lines) - 1, go)
    finally:
        server.should_exit = True
        await serving


if __name__ == "__main__":
    asyncio.run(main())
