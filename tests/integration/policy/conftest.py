from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio

from rstar.stack.ports import free_ports
from services.common.models.store import StoredModel
from services.common.pb.policy.v1 import policy_pb2 as pb
from services.common.pb.policy.v1 import policy_pb2_grpc as pb_grpc
from tests.support.collector import Collector, collecting
from tests.support.model_service import Server, connect, started

CALL_SECONDS = 300
MAX_IN_FLIGHT = 8
BATCH_TOKENS = 1024

PROBLEM = "A shelf holds 4 rows of 6 cups. Five cups break. How many cups are left?"


class Policy:
    """A served policy and what tests ask of it.

    Attributes:
        server: its process.
        metrics_url: where Prometheus reads it.
        collector: of its traces.
    """

    def __init__(
        self, server: Server, channel: grpc.aio.Channel, metrics_url: str, collector: Collector
    ) -> None:
        self.server = server
        self.stub = pb_grpc.PolicyServiceStub(channel)
        self.metrics_url = metrics_url
        self.collector = collector

    def call(
        self, count: int = 1, *, timeout: float = CALL_SECONDS, **changes: object
    ) -> grpc.aio.UnaryStreamCall:
        """Begin a Propose; changes are fields of the request or of its sampling."""
        sampling = {"temperature": 0.0, "max_tokens": 48, "max_steps": 1}
        fields: dict[str, object] = {"search_id": "test", "problem": PROBLEM, "count": count}
        for name, value in changes.items():
            known = name in pb.Sampling.DESCRIPTOR.fields_by_name
            (sampling if known else fields)[name] = value
        request = pb.ProposeRequest(sampling=pb.Sampling(**sampling), **fields)
        return self.stub.Propose(request, timeout=timeout)

    async def propose(self, count: int = 1, **changes: object) -> list[pb.ProposeResponse]:
        """All candidates of a call, in the order of their indices."""
        got = [response async for response in self.call(count, **changes)]
        return sorted(got, key=lambda response: response.index)

    async def failure(self, **changes: object) -> grpc.aio.AioRpcError:
        """The error of a call that must fail."""
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await self.propose(**changes)
        return raised.value


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def policy(
    smollm2: StoredModel, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Policy]:
    """A server of the smallest model."""
    log = tmp_path_factory.mktemp("policy") / "log"
    (port,) = free_ports("127.0.0.1", 1)
    settings = {
        "store": smollm2.path.parent.parent,
        "model": smollm2.manifest.version,
        "max_in_flight": MAX_IN_FLIGHT,
        "max_count": MAX_IN_FLIGHT,
        "kv_cache_gib": 0.5,
        # What rounds in bfloat16 depends on the company in the batch, and tips a draw in a hundred.
        "dtype": "float32",
        # Fewer than a long problem has: its prompt takes more than one step of the engine.
        "batch_tokens": BATCH_TOKENS,
        "metrics_port": port,
    }
    async with (
        collecting() as (collector, endpoint),
        started("policy", log, trace_endpoint=endpoint, **settings) as server,
    ):
        channel = await connect(server)
        yield Policy(server, channel, f"http://127.0.0.1:{port}/metrics", collector)
        await channel.close()
