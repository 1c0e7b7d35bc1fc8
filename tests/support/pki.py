"""Certificates made for a test."""

from pathlib import Path

import trustme


class Pki:
    """An authority with a server's and a client's certificate, as files."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.ca = folder / "ca.pem"
        authority.cert_pem.write_to_path(self.ca)
        self.server = self._issue(authority, folder / "server", "localhost")
        self.client = self._issue(authority, folder / "client", "search.rstar.internal")

    @staticmethod
    def _issue(authority: trustme.CA, stem: Path, name: str) -> tuple[Path, Path]:
        leaf = authority.issue_cert(name)
        cert, key = stem.with_suffix(".pem"), stem.with_suffix(".key")
        leaf.private_key_pem.write_to_path(key)
        for blob in leaf.cert_chain_pems:
            blob.write_to_path(cert, append=True)
        return cert, key
