"""What Prometheus reads of a policy: its own metrics and the engine's."""

from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from rstar.stack.ports import free_ports
from services.common.models.store import StoredModel
from services.common.pb.policy.v1 import policy_pb2 as pb
from services.common.pb.policy.v1 import policy_pb2_grpc as pb_grpc
from services.policy.servicer import NAME
from tests.integration.policy.test_process import settings
from tests.support.model_service import connect, started
from tests.support.prometheus import promtool

pytestmark = [pytest.mark.model, pytest.mark.timeout(900)]


async def test_the_engines_metrics_stand_beside_the_policys(
    smollm2: StoredModel, tmp_path: Path
) -> None:
    (port,) = free_ports("127.0.0.1", 1)
    given = {**settings(smollm2), "metrics_port": port}
    async with started("policy", tmp_path / "log", **given) as server:
        channel = await connect(server, NAME)
        ask = pb.ProposeRequest(
            search_id="s",
            problem="What is 1 + 1?",
            count=2,
            sampling=pb.Sampling(temperature=1.0, max_tokens=16, max_steps=1),
        )
        replies = [
            one async for one in pb_grpc.PolicyServiceStub(channel).Propose(ask, timeout=120)
        ]
        async with httpx.AsyncClient() as client:
            text = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
        await channel.close()
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    assert found["rstar_policy_candidates_total"] == len(replies) == 2
    assert found["rstar_policy_tokens_total"] == sum(one.tokens for one in replies)
    assert found["rstar_policy_in_flight_candidates"] == 0
    assert found["rstar_policy_model_info"] == 1
    assert found["vllm:generation_tokens_total"] >= found["rstar_policy_tokens_total"]
    assert found["vllm:prefix_cache_queries_total"] > 0
    assert found["vllm:num_requests_waiting"] == 0
    ours = [line for line in text.splitlines(keepends=True) if "vllm:" not in line]
    promtool("check", "metrics", text="".join(ours))
