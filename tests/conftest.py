"""Fixtures that several packages' tests share, and how the suite is shared between processes."""

import sys
from pathlib import Path

import pytest

from services.common.models.catalog import find
from services.common.models.pull import Puller
from services.common.models.sources import network
from services.common.models.store import ModelStore, StoredModel


class StandardError:
    """Tells of a download on standard error, where pytest keeps it for a failure."""

    def say(self, message: str) -> None:
        """Print a line."""
        print(message, file=sys.stderr)

    def progress(self, done: int, total: int) -> None:
        """Nobody watches."""


@pytest.fixture(scope="session")
def smollm2() -> StoredModel:
    """The smallest model of the catalog, fetched once a machine into the default store."""
    with network() as net:
        return Puller(ModelStore(), net, StandardError()).pull(find("smollm2-135m"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of this suite."""
    parser.addoption(
        "--regenerate-golden",
        action="store_true",
        help="write the outcomes of the golden trees anew instead of comparing them",
    )


# Two engines side by side wait for each other's threads: one process gets all that start any.
_ENGINES = (
    "e2e",
    "integration/policy",
    "integration/ppm",
    "integration/search/test_guided.py",
    "integration/trainer/rounds",
    "integration/trainer/training",
)


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the marks in this very hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a module together, and those of engines, under `pytest -n`.

    They come first: nothing else is as long.
    """
    tests = Path(__file__).parent
    groups = {item: _group(item.path.relative_to(tests).as_posix()) for item in items}
    for item, group in groups.items():
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: groups[item] != "engines")


def _group(path: str) -> str:
    return "engines" if path.startswith(_ENGINES) else path
