"""What kube-proxy and cluster DNS do: names and addresses of Services lead to ready pods."""

import asyncio
import contextlib
import logging
import random
from typing import cast

from dnslib import QTYPE, RCODE, RR, A, DNSRecord

from tests.cluster.api import Api, Mirror, Object, key_of
from tests.cluster.kubelet.network import GATEWAY, Network

DOMAIN = "cluster.local"
_log = logging.getLogger(__name__)
_CHUNK = 65_536
_TTL_SECONDS = 1


class Services:
    """Follows Services and Endpoints; answers DNS at the gateway and forwards connections."""

    def __init__(self, api: Api, network: Network) -> None:
        """Nothing is followed yet."""
        self._network = network
        self._tasks: set[asyncio.Task[None]] = set()
        self._forwarders: dict[str, asyncio.Task[None]] = {}
        self._services = Mirror(api, "/api/v1/services", self._service_changed)
        self._endpoints = Mirror(api, "/api/v1/endpoints", lambda before, after: None)

    async def run(self) -> None:
        """Serve for ever."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Dns(self), local_addr=(GATEWAY, 53)
        )
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._services.run())
                group.create_task(self._endpoints.run())
        finally:
            transport.close()
            for task in (*self._forwarders.values(), *self._tasks):
                task.cancel()

    def addresses(self, name: str) -> list[str] | None:
        """Addresses of NAME.NAMESPACE.svc.DOMAIN; None where there is no such Service."""
        head, _, tail = name.rstrip(".").partition(f".svc.{DOMAIN}")
        parts = head.split(".")
        if tail or not name.rstrip(".").endswith(DOMAIN) or len(parts) != 2:
            return None
        key = f"{parts[1]}/{parts[0]}"
        service = self._services.objects.get(key)
        if service is None:
            return None
        if service["spec"].get("clusterIP") not in (None, "", "None"):
            return [service["spec"]["clusterIP"]]
        return [address for address, _ in self.ready(key, None)]

    def ready(self, key: str, port_name: str | None) -> list[tuple[str, int]]:
        """Addresses and ports of the ready pods behind a Service."""
        endpoints = self._endpoints.objects.get(key, {})
        return [
            (address["ip"], port["port"])
            for subset in endpoints.get("subsets") or []
            for address in subset.get("addresses") or []
            for port in (subset.get("ports") or [])[: None if port_name else 1]
            if port_name is None or port.get("name", "") == port_name
        ]

    def _service_changed(self, before: Object | None, after: Object | None) -> None:
        key = key_of(after or before or {})
        running = self._forwarders.get(key)
        if after is None:
            if running:
                self._forwarders.pop(key).cancel()
        elif running is None and after["spec"].get("clusterIP") not in (None, "", "None"):
            self._forwarders[key] = asyncio.create_task(self._forward(key, after))

    async def _forward(self, key: str, service: Object) -> None:
        """Forward the connections to a Service's address, for as long as it is there."""
        address = service["spec"]["clusterIP"]
        await self._network.own(address)
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self._network.disown, address)
            for port in service["spec"].get("ports", []):
                name = port.get("name", "")

                async def accept(
                    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str = name
                ) -> None:
                    await self._join(key, name, reader, writer)

                server = await asyncio.start_server(accept, address, port["port"])
                stack.push_async_callback(_close, server)
            await asyncio.Event().wait()

    async def _join(
        self, key: str, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Join a connection with one to a ready pod; close it where there is none."""
        pods = self.ready(key, name)
        try:
            if not pods:
                return
            host, port = random.choice(pods)
            there, back = await asyncio.wait_for(asyncio.open_connection(host, port), 5)
            try:
                await asyncio.gather(_copy(reader, back), _copy(there, writer))
            finally:
                back.close()
        except (OSError, TimeoutError) as error:
            _log.info("connection to %s: %s", key, error)
        finally:
            writer.close()


async def _close(server: asyncio.Server) -> None:
    server.close()


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Everything that one side says, to the other; its end too."""
    while chunk := await source.read(_CHUNK):
        sink.write(chunk)
        await sink.drain()
    if sink.can_write_eof():
        sink.write_eof()


class _Dns(asyncio.DatagramProtocol):
    """Answers A queries for Services; everything else of the domain exists without addresses."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, sender: tuple[str, int]) -> None:
        question = DNSRecord.parse(data)
        answer = question.reply()
        found = self._services.addresses(str(question.q.qname).lower())
        if found is None:
            answer.header.rcode = RCODE.NXDOMAIN
        elif question.q.qtype == QTYPE.A:
            random.shuffle(found)
            for address in found:
                answer.add_answer(RR(question.q.qname, QTYPE.A, rdata=A(address), ttl=_TTL_SECONDS))
        if self._transport:
            self._transport.sendto(answer.pack(), sender)
