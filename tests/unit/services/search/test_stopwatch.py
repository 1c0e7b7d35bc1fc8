"""What a candidate's steps took is told apart."""

import asyncio

from services.search.stopwatch import Stopwatch


async def test_each_step_has_its_own_run_and_all_scored_ones_the_time_of_their_scores() -> None:
    watch, let = Stopwatch(policy=2.0), asyncio.Event()
    for step in ("first", "second"):
        watch.wrote(step)
    assert await watch.ran("first", asyncio.sleep(0, "done")) == "done"
    loop = asyncio.get_running_loop()
    begun = loop.time()
    loop.call_later(0.02, let.set)
    await watch.ran("second", let.wait())
    assert loop.time() > begun
    watch.wrote("answer", apart=0.5)
    watch.scored(["first", "answer", "run by an earlier trial"], 0.25)
    waits = watch.waits()
    assert {step: (told.policy, told.ppm) for step, told in waits.items()} == {
        "first": (2.0, 0.25),
        "second": (2.0, 0.0),
        "answer": (0.5, 0.25),
    }
    assert waits["answer"].sandbox == 0 <= waits["first"].sandbox < waits["second"].sandbox
