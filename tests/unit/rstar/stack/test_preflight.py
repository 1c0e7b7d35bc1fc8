"""What is refused before anything is started."""

import importlib.util
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from rstar.stack import preflight
from rstar.stack.config import Addresses, StackConfig, choose_addresses
from rstar.stack.ports import free_ports
from rstar.stack.preflight import PreflightError
from services.common.models.store import StoredModel


@pytest.fixture
def config(tmp_path: Path) -> StackConfig:
    return StackConfig(home=tmp_path / "home", port=0, grpc_port=0)


async def refusals(config: StackConfig, at: Addresses, *, own_redis: bool = True) -> list[str]:
    with pytest.raises(PreflightError) as caught:
        await preflight.check(config, at, own_redis=own_redis)
    return str(caught.value).splitlines()


async def test_a_missing_model_is_named_with_its_cure(config: StackConfig) -> None:
    [line] = await refusals(config, choose_addresses(config, "unix:///none"))
    assert "no policy 'qwen2.5-coder-0.5b'" in line
    assert "rstar models pull qwen2.5-coder-0.5b" in line


async def test_a_model_of_an_impossible_name_is_refused(config: StackConfig) -> None:
    odd = replace(config, model="../x")
    [line] = await refusals(odd, choose_addresses(odd, ""))
    assert "model version '../x'" in line


async def test_a_missing_ppm_is_named(config: StackConfig) -> None:
    asked = replace(config, ppm="round-1")
    lines = await refusals(asked, choose_addresses(asked, ""))
    assert any("no ppm 'round-1'" in line for line in lines)


@pytest.mark.parametrize("module", ["services.polici", "no_such.module", ".policy"])
async def test_a_policy_that_is_no_module_is_refused(config: StackConfig, module: str) -> None:
    asked = replace(config, policy_module=module)
    lines = await refusals(asked, choose_addresses(asked, ""))
    assert any(f"no Python module {module!r}" in line for line in lines)


@pytest.mark.parametrize("ppm", ["", "round-1"])
async def test_only_models_that_are_served_here_need_the_engine(
    config: StackConfig, monkeypatch: pytest.MonkeyPatch, ppm: str
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "vllm" else find(name)
    )
    asked = replace(config, policy_module="services.policy.endpoint", ppm=ppm)
    taken = replace(choose_addresses(asked, ""), host="192.0.2.1")
    lines = await refusals(asked, taken)
    assert any("vLLM is not installed" in line for line in lines) is bool(ppm)


async def test_taken_ports_are_named_with_their_options(config: StackConfig) -> None:
    at = choose_addresses(config, "")
    with socket.create_server(("127.0.0.1", at.rest)), socket.create_server(("127.0.0.1", at.ppm)):
        lines = await refusals(config, at)
    assert any(f"port {at.rest}, for the REST API" in li and "--port" in li for li in lines)
    assert any(f"port {at.ppm}, for ppm" in li and "--grpc-port" in li for li in lines)


async def test_an_address_of_another_machine_is_refused(config: StackConfig) -> None:
    at = replace(choose_addresses(config, ""), host="192.0.2.1")
    lines = await refusals(config, at)
    assert any("cannot listen on 192.0.2.1" in line for line in lines)


@pytest.mark.parametrize(
    ("variable", "value", "is_refused"),
    [
        ("AUTH", "off", True),
        ("AUTH", "keys", False),
        ("ALLOW_PUBLIC_WITHOUT_AUTH", "true", False),
        ("ALLOW_PUBLIC_WITHOUT_AUTH", "false", True),
    ],
)
async def test_others_are_let_in_only_where_that_is_said(
    config: StackConfig,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    is_refused: bool,
) -> None:
    monkeypatch.setenv(f"RSTAR_SEARCH_{variable}", value)
    public = replace(config, host="0.0.0.0")  # noqa: S104 - what is to be refused
    lines = await refusals(public, choose_addresses(public, ""))
    assert any("can be reached by others" in line for line in lines) is is_refused


async def test_a_full_disk_is_refused(config: StackConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "DISK_BYTES", 1 << 60)
    lines = await refusals(config, choose_addresses(config, ""))
    assert any("of disk are free" in line and "--home" in line for line in lines)


@pytest.mark.parametrize("url", ["http://example", "redis://127.0.0.1:{port}/0"])
async def test_a_redis_that_is_not_there_is_refused(config: StackConfig, url: str) -> None:
    [port] = free_ports("127.0.0.1", 1)
    lines = await refusals(config, choose_addresses(config, url.format(port=port)), own_redis=False)
    assert any(line.startswith("--redis-url: ") for line in lines)


def test_available_memory_is_below_the_machine_s(tmp_path: Path) -> None:
    total = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    assert 0 < preflight.available_memory() <= total


def test_a_container_s_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("2000\n")
    monkeypatch.setattr(preflight, "CGROUP", tmp_path)
    assert preflight.available_memory() == 3000
    (tmp_path / "memory.max").write_text("max\n")
    assert preflight.available_memory() > 5000


async def test_too_little_memory_is_refused(
    smollm2: StoredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = StackConfig(
        model=smollm2.manifest.version,
        home=smollm2.path.parents[2],
        port=0,
        grpc_port=0,
    )
    monkeypatch.setattr(preflight, "available_memory", lambda: 2 * preflight.GIB)
    [line] = await refusals(config, choose_addresses(config, ""))
    assert line.startswith("2.0 GiB of memory are available, about 3.")
    monkeypatch.setattr(preflight, "available_memory", lambda: 5 * preflight.GIB)
    await preflight.check(config, choose_addresses(config, ""), own_redis=True)
