"""Fixtures that several packages' tests share."""

import sys

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
