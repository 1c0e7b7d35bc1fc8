"""The Secret of the platform's certificate, as cert-manager keeps it."""

import asyncio
import ssl

import trustme

from tests.cluster.api import Api, Object
from tests.cluster.release import NAMESPACE

SECRET = "certificates"
_HANDSHAKE_SECONDS = 10


class Certificates:
    """Certificates of one authority for the same names; the Secret holds the last one."""

    def __init__(self, api: Api, *names: str) -> None:
        """For hosts or addresses."""
        self._api, self._names = api, names
        self._authority = trustme.CA()
        self.authority: bytes = self._authority.cert_pem.bytes()
        self.certificate = ""

    async def issue(self) -> None:
        """Make the Secret."""
        content = {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/tls",
            "metadata": {"name": SECRET},
            "stringData": self._new(),
        }
        await self._api.create(f"/api/v1/namespaces/{NAMESPACE}/secrets", content)

    async def renew(self) -> None:
        """Put another certificate and key into the Secret."""
        path = f"/api/v1/namespaces/{NAMESPACE}/secrets/{SECRET}"
        await self._api.patch(path, {"stringData": self._new()})

    def _new(self) -> Object:
        leaf = self._authority.issue_cert(*self._names)
        (certificate,) = leaf.cert_chain_pems
        self.certificate = certificate.bytes().decode()
        return {
            "tls.crt": self.certificate,
            "tls.key": leaf.private_key_pem.bytes().decode(),
            "ca.crt": self.authority.decode(),
        }

    async def shown_by(self, host: str, port: int) -> bool:
        """Whether a server shows the last one; it need not like its caller."""
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        trusting.set_alpn_protocols(["h2", "http/1.1"])
        async with asyncio.timeout(_HANDSHAKE_SECONDS):
            _, writer = await asyncio.open_connection(host, port, ssl=trusting)
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.transport.abort()
        return bool(shown == ssl.PEM_cert_to_DER_cert(self.certificate))
