"""The whole stack: it solves, survives the death of its processes, and leaves nothing behind."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import httpx
import psutil
import pytest

pytestmark = [pytest.mark.model, pytest.mark.timeout(1200)]

SECONDS = 300
PROBLEM = {
    "problem": "What is 17 * 23?",
    "budget": {"rollouts": 4, "tokens": 400, "seconds": 120},
    "search": {"candidates": 2, "seed": 1},
}


def ready(url: str) -> dict[str, Any]:
    reply = httpx.get(f"{url}/ready", timeout=10)
    body: dict[str, Any] = reply.json()
    assert body["ready"] == (reply.status_code == httpx.codes.OK)
    return body


def until(condition: Callable[[], bool], seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def is_vllm(process: psutil.Process) -> bool:
    """Whether it is one of vLLM's; one that has just ended is none."""
    try:
        return "VLLM" in process.name()
    except psutil.NoSuchProcess:
        return False


def left(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return [p for p in alive if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def test_solves_over_http(stack: Any) -> None:
    reply = httpx.post(f"{stack.url}/solve", json=PROBLEM, timeout=SECONDS)
    assert reply.status_code == httpx.codes.OK, reply.text
    solution = reply.json()
    assert solution["models"] == {"policy": "smollm2-135m", "ppm": None}
    assert solution["guided"] is False
    assert solution["usage"]["policy_tokens"] > 0
    assert solution["stop_reason"] in ("rollouts", "tokens", "seconds", "confident", "exhausted")


def test_solves_from_the_command_line(stack: Any) -> None:
    command = [sys.executable, "-m", "rstar.main", "solve", PROBLEM["problem"]]
    options = ["--url", stack.url, "--rollouts", "4", "--tokens", "400", "--json"]
    result = subprocess.run(
        [*map(str, command), *options], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["usage"]["policy_tokens"] > 0


@pytest.mark.parametrize("name", ["sandbox", "redis", "policy"])
def test_a_killed_process_comes_back(stack: Any, name: str) -> None:
    programs = {"redis": "valkey-server"}
    killed = stack.main_process(programs.get(name, f"services.{name}"))
    below = killed.children(recursive=True)
    killed.kill()
    until(lambda: not ready(stack.url)["dependencies"][name]["ready"])
    assert f"{name}" in stack.wait_for(rf"\| {name} +was killed by SIGKILL")[0]
    assert left(below, 60) == []
    until(lambda: ready(stack.url)["ready"])
    reply = httpx.post(f"{stack.url}/solve", json=PROBLEM, timeout=SECONDS)
    assert reply.status_code == httpx.codes.OK, reply.text


def test_a_stopped_stack_leaves_nothing(stack: Any) -> None:
    processes = stack.descendants()
    assert len(processes) >= 10, "a keeper and a process each"
    stack.process.send_signal(signal.SIGTERM)
    assert stack.process.wait(SECONDS) == 0
    assert left(processes, 0) == []
    with pytest.raises(httpx.ConnectError):
        ready(stack.url)


def test_a_killed_supervisor_leaves_nothing(
    start_up: Callable[[], AbstractContextManager[Any]],
) -> None:
    with start_up() as up:
        # While the model loads, vLLM has processes of its own.
        until(lambda: any(map(is_vllm, up.descendants())), seconds=600)
        processes = up.descendants()
        up.process.kill()
        assert left(processes, 60) == []
