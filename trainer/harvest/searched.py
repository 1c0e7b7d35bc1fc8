"""One search of a harvest and its trees, as the search service gives them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from services.common.pb.search.v1 import search_pb2 as pb
from trainer.found_tree import FoundTree


@dataclass(frozen=True, slots=True)
class Found:
    """What a search gave.

    Attributes:
        search: its id; empty where it was never begun.
        trees: at least one.
        policy, ppm: versions; `ppm` is empty in an unguided search.
        stop_reason: why it ended, as search.proto calls it, in lower case.
    """

    search: str = ""
    trees: Sequence[FoundTree] = field(default=(FoundTree(),))
    policy: str = ""
    ppm: str = ""
    stop_reason: str = ""

    @property
    def solved(self) -> bool:
        """Whether any solution is right."""
        return any(node.correct for tree in self.trees for node in tree.nodes)


class Searcher(Protocol):
    """Runs searches."""

    async def search(self, request: pb.SolveRequest) -> Found:
        """One search, from its start to its trees; SolveFailed where there are none."""
        ...
