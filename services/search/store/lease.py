"""What a replica holds while it owns a search."""

from dataclasses import dataclass


@dataclass(slots=True)
class Lease:
    """The right to write the log of a search.

    Attributes:
        search_id: the search.
        token: its fencing token; a newer one, given to another replica, ends this one's right.
        seq: length of the log as this replica knows it.
    """

    search_id: str
    token: int
    seq: int

    @property
    def is_adopted(self) -> bool:
        """Whether another process may have held it before."""
        return self.token > 1


@dataclass(frozen=True, slots=True)
class Taken:
    """A search that this replica took over.

    Attributes:
        lease: the right to go on with it.
        adoptions: how often it was taken since its last logged trial, handovers not counted.
        cancelled: whether somebody has asked for its end.
    """

    lease: Lease
    adoptions: int
    cancelled: bool
