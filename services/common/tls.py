"""TLS and mutual TLS of the gRPC servers and channels, from PEM files."""

from dataclasses import dataclass
from pathlib import Path

import grpc


class TlsError(ValueError):
    """TLS files that are missing, unreadable or do not belong together."""


@dataclass(frozen=True, slots=True)
class ServerTls:
    """What a server shows its callers and asks of them.

    Attributes:
        cert: its certificate chain.
        key: the private key of the first certificate.
        client_ca: authorities of client certificates; every caller must then show one. None asks
            for none.
    """

    cert: Path
    key: Path
    client_ca: Path | None = None

    def credentials(self) -> grpc.ServerCredentials:
        """The files as they are now; TlsError where one cannot be read."""
        return grpc.ssl_server_credentials(
            [(_read(self.key), _read(self.cert))],
            root_certificates=_read_if(self.client_ca),
            require_client_auth=self.client_ca is not None,
        )


@dataclass(frozen=True, slots=True)
class ClientTls:
    """Whom a channel trusts and what it shows.

    Attributes:
        ca: authorities of the server's certificate; None trusts those of the system.
        cert: the chain that is shown to servers that ask for one.
        key: the private key of its first certificate.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """The files as they are now; TlsError where one is missing or cannot be read."""
        if (self.cert is None) != (self.key is None):
            raise TlsError("a client certificate and its key are given together or not at all")
        return grpc.ssl_channel_credentials(
            _read_if(self.ca), _read_if(self.key), _read_if(self.cert)
        )


def server_tls(cert: Path | None, key: Path | None, client_ca: Path | None) -> ServerTls | None:
    """The TLS of a server; None where no certificate is given, TlsError where half is."""
    if cert is None and key is None and client_ca is None:
        return None
    if cert is None or key is None:
        raise TlsError("tls_cert and tls_key are given together; tls_client_ca needs both")
    return ServerTls(cert, key, client_ca)


def _read_if(path: Path | None) -> bytes | None:
    return None if path is None else _read(path)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TlsError(f"cannot read {path}: {error.strerror}") from error
