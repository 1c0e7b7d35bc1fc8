from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.s3_server import environment, s3_server


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A real S3 server with an empty bucket `models`; drivers find it by the environment."""
    with s3_server(tmp_path_factory.mktemp("s3") / "log") as fields, environment(fields):
        yield


@pytest.fixture
def url(s3: None, tmp_path: Path) -> str:
    """An empty store on the server."""
    return f"s3://models/{tmp_path.name}"
