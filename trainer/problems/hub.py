"""Problems of data sets on the Hugging Face hub."""

from collections.abc import Iterator, Sequence

from trainer.problems.files import Row, collect
from trainer.problems.problem import BadProblems, Problem


class NoData(BadProblems):
    """A data set that is not to be had; the message says where to get it."""


def read_dataset(
    dataset: str, configs: Sequence[str], split: str, limit: int | None = None
) -> list[Problem]:
    """The first `limit` problems of a data set.

    Args:
        dataset: its id, `owner/name`.
        configs: its configurations, read one after another; one empty for its only.
        split: of each of them.
        limit: None for all.

    Raises:
        NoData: it cannot be fetched.
        BadProblems: it holds something else.
    """
    rows = (row for config in configs for row in _rows(dataset, config, split))
    return collect(rows, dataset, limit)


def _rows(dataset: str, config: str, split: str) -> Iterator[Row]:
    import datasets

    source = " ".join(filter(None, (dataset, config, split)))
    try:
        rows = datasets.load_dataset(dataset, config or None, split=split)
    except Exception as error:  # its errors have no common base, and any means the same here
        first = str(error).strip().split("\n")[0]
        raise NoData(
            f"{source}: not to be had from the Hugging Face hub ({type(error).__name__}: {first}). "
            f"Get it from https://huggingface.co/datasets/{dataset} and give its file instead"
        ) from error
    for number, row in enumerate(rows, 1):
        yield f"{source}, row {number}", row
