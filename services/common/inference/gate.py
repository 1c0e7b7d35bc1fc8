"""A bound on work in flight."""

import contextlib
from collections.abc import Iterator

import grpc
from prometheus_client import Gauge

from services.common import rpc


class Gate:
    """Counts what waits or runs, and refuses what would be too much."""

    def __init__(self, limit: int, what: str, gauge: Gauge) -> None:
        """Let in up to `limit` units; `what` names them in refusals, `gauge` shows them."""
        self._limit = limit
        self._what = what
        self._gauge = gauge
        self.held = 0

    @contextlib.contextmanager
    def hold(self, units: int) -> Iterator[None]:
        """Hold units for a while; StatusError RESOURCE_EXHAUSTED where they do not fit."""
        if self.held + units > self._limit:
            raise rpc.StatusError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"{self.held} of at most {self._limit} {self._what} are in flight, "
                f"no room for {units} more; try again",
            )
        self.held += units
        self._gauge.inc(units)
        try:
            yield
        finally:
            self.held -= units
            self._gauge.dec(units)
