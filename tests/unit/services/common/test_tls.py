"""TLS of the common server and channel, with certificates made for the test."""

from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from pydantic import ValidationError

from services.common import rpc
from services.common.settings import ServiceSettings
from services.common.tls import ClientTls, ServerTls, TlsError
from tests.support.pki import Pki


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


async def ask(server: ServerTls | None, client: ClientTls | None) -> bool:
    """Whether the health of a server is told over such a channel."""
    running = rpc.Server((), max_concurrent_rpcs=4)
    port = await running.start("localhost", 0, server)
    await running.set_serving(True)
    try:
        async with rpc.channel(f"localhost:{port}", client) as channel:
            reply = await health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=5
            )
            return reply.status == health_pb2.HealthCheckResponse.SERVING
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            return False
        raise
    finally:
        await running.stop(0)


async def test_a_server_is_trusted_by_its_authority_alone(pki: Pki, tmp_path: Path) -> None:
    stranger = Pki(tmp_path)
    server = ServerTls(*pki.server)
    assert await ask(server, ClientTls(pki.ca))
    assert not await ask(server, ClientTls(stranger.ca))
    assert not await ask(server, None)
    assert not await ask(None, ClientTls(pki.ca))


async def test_a_server_that_asks_for_certificates_turns_others_away(
    pki: Pki, tmp_path: Path
) -> None:
    stranger = Pki(tmp_path)
    server = ServerTls(*pki.server, client_ca=pki.ca)
    assert await ask(server, ClientTls(pki.ca, *pki.client))
    assert not await ask(server, ClientTls(pki.ca))
    assert not await ask(server, ClientTls(pki.ca, *stranger.client))


def test_half_a_configuration_is_refused(pki: Pki, tmp_path: Path) -> None:
    cert, key = pki.server
    with pytest.raises(ValidationError, match="tls_cert and tls_key"):
        ServiceSettings(tls_cert=cert)
    with pytest.raises(ValidationError, match="tls_client_ca needs both"):
        ServiceSettings(tls_client_ca=pki.ca)
    assert ServiceSettings().tls is None
    assert ServiceSettings(tls_cert=cert, tls_key=key).tls == ServerTls(cert, key)
    with pytest.raises(TlsError, match="together"):
        ClientTls(cert=cert).credentials()
    with pytest.raises(TlsError, match=r"cannot read .*gone\.pem: No such file"):
        ServerTls(tmp_path / "gone.pem", key).credentials()
