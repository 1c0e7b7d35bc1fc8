"""What goes wrong with a stored search, beside a Redis that is down."""


class UnknownSearch(LookupError):  # noqa: N818 - a state
    """There is no search of this id, or it has expired."""

    def __init__(self, search_id: str) -> None:
        super().__init__(f"there is no search {search_id!r}")
        self.search_id = search_id


class LeaseLost(RuntimeError):  # noqa: N818 - a state
    """A search is not this replica's any more: its log must not be written, its end not told."""

    def __init__(self, search_id: str, why: str) -> None:
        super().__init__(f"search {search_id}: {why}")
        self.search_id = search_id
        self.why = why
