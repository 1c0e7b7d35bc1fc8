"""A harvest whose steps come from an OpenAI-compatible server, on the real search and sandbox."""

import re
from pathlib import Path
from typing import Any

import pytest

from services.common.pb.policy.v1 import policy_pb2_grpc
from services.common.pb.search.v1 import search_pb2_grpc
from services.policy.endpoint.client import Client
from services.policy.endpoint.drawing import Drawer
from services.policy.endpoint.servicer import NAME, EndpointServicer
from services.policy.endpoint.settings import EndpointSettings
from services.search.rpc_server import SERVICE, SearchServicer
from tests.integration.search.conftest import StartRig
from tests.support import endpoint_server, sandbox_server
from tests.support.endpoint_server import Answer, chat_reply
from tests.support.scripted import serving
from trainer.harvest.dataset import searched
from trainer.harvest.grading import LateGrader
from trainer.harvest.queue import Queue
from trainer.harvest.remote import connect
from trainer.harvest.run import create
from trainer.harvest.summary import summarise
from trainer.harvest.worker import Pace, Worker
from trainer.problems.problem import Problem

pytestmark = pytest.mark.asyncio(loop_scope="session")

ADD_POLICY = policy_pb2_grpc.add_PolicyServiceServicer_to_server
ADD_SEARCH = search_pb2_grpc.add_SearchServiceServicer_to_server


def say(body: dict[str, Any]) -> Answer:
    """Two steps for a sum, the second of them, the first alone where it is told to stop there."""
    asked = body["messages"][-1]["content"]
    found = re.match(r"What is (\d+) \+ (\d+)\?", asked)
    assert found
    first = f"# Step 1: Take the numbers\na, b = {found[1]}, {found[2]}"
    second = "# Step 2: Add them\nprint(a + b)"
    replies = []
    for index in range(body.get("n", 1)):
        wrong = second.replace("a + b", f"a + b + {index % 2}")
        if "Continue it" in asked:
            replies.append(f"And so:\n```python\n{first}\n{wrong}\n```\nDone.")
        elif body.get("stop") == ["\n# Step 2:"]:
            replies.append(f"```python\n{first.replace('numbers', f'numbers ({index})')}")
        else:
            replies.append(f"```python\n{first}\n{wrong}\n```")
    return chat_reply(*replies, tokens=30 * len(replies))


@pytest.mark.parametrize("expansion", ["step", "trajectory"])
async def test_problems_are_solved_by_what_an_endpoint_writes(
    tmp_path: Path, redis_url: str, rig: StartRig, expansion: str
) -> None:
    problems = [Problem(f"p{n}", f"What is {n} + 5?", str(n + 5), "1") for n in range(6)]
    folder = create(
        tmp_path,
        problems,
        budget={"rollouts": 4, "seconds": 60},
        options={"candidates": 4, "temperature": 1.0, "expansion": expansion},
        terminal_guided=True,
        round=1,
    )
    with endpoint_server.serving() as server:
        server.say = say
        settings = EndpointSettings(url=server.url, model="maker/big")
        client = Client(settings, settings.key())
        servicer = EndpointServicer(settings, Drawer(client, settings))
        servicer.open(4096)
        async with (
            serving(ADD_POLICY, servicer, NAME) as policy,
            sandbox_server.serving(workers=2, max_wall_ms=5000, max_memory_mib=256) as sandbox,
            rig(policy_target=policy, sandbox_target=sandbox.address, ppm_target="") as one,
            serving(ADD_SEARCH, SearchServicer(one.front), SERVICE) as target,
            Queue(redis_url, folder.settings.name, "here", lease_seconds=60) as queue,
            connect(target, 30) as searcher,
            LateGrader() as grader,
        ):
            await queue.feed(folder.settings.items)
            pace = Pace(concurrency=2, part_items=3)
            await Worker(folder, queue, searcher, grader, pace).work()
        await client.close()
    summary = summarise(folder)
    assert (summary.done, summary.failed, summary.solved) == (6, 0, 6)
    assert summary.versions == ["endpoint-maker-big -"]
    assert len(list(searched([tmp_path]))) == 6
