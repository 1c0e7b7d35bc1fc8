"""What Prometheus reads of the service."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.search.conftest import Rig, StartRig
from tests.support.scripted import votes

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def read(one: Rig) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """All samples by name and labels."""
    text = (await one.client.get("/metrics")).text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_searches_and_requests_are_counted(rig: StartRig) -> None:
    async with rig() as one:
        one.policy.reply = votes
        before = await read(one)
        body = {"problem": "What is 1 + 1?", "budget": {"rollouts": 4}, "search": {"candidates": 4}}
        usage = (await one.client.post("/solve", json=body)).json()["usage"]
        await one.client.get("/nowhere")
        after = await read(one)

        def grown(name: str, **labels: str) -> float:
            key = name, frozenset(labels.items())
            return after.get(key, 0) - before.get(key, 0)

        ended = {"status": "finished", "stop_reason": "rollouts"}
        assert grown("rstar_search_searches_ended_total", **ended) == 1
        assert grown("rstar_search_policy_tokens_total") == usage["policy_tokens"]
        assert grown("rstar_search_nodes_total") == usage["nodes"]
        phase = "rstar_search_trial_phase_seconds_count"
        assert grown(phase, phase="sandbox") == usage["sandbox_runs"] > 0
        assert grown(phase, phase="policy") > 0
        assert grown(phase, phase="grade") > 0
        assert grown(phase, phase="log") > 0
        assert grown(phase, phase="ppm") == 0, "the search was not guided"
        seconds = "rstar_search_http_request_seconds_count"
        assert grown(seconds, method="POST", route="/solve", status="200") == 1
        # Whatever paths are tried, they make one series.
        assert grown(seconds, method="GET", route="none", status="404") == 1
        assert after["rstar_search_searches_running", frozenset()] == 0
