"""`rstar solve` as a program, against a service over real HTTP."""

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rstar.client import ApiError, ClientError, Problem, Unreachable
from rstar.solve import Exit, exit_code
from rstar.stack.ports import free_ports
from tests.unit.rstar.conftest import Reply, solving

Service = Callable[..., Any]


async def rstar(*arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rstar.main", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_shows_steps_answer_reason_and_cost(service: Service) -> None:
    async with service(solving()) as scripted:
        code, out, _ = await rstar("solve", "6 * 7?", "--url", scripted.url)
    assert code == Exit.OK
    for part in (
        "Step 1: Multiply",
        "print(6 * 7)",
        "> 42",
        "42  (75% of the weight; then 41 25%)",
        "nothing that is left would change the answer",
        "12 rollouts, 30 nodes, 1,234 tokens, 28 sandbox runs, 4.5 s",
        "unguided",
    ):
        assert part in out


async def test_passes_on_only_the_options_that_are_given(service: Service) -> None:
    options = ("--tokens", "500", "--seed", "0", "--answer", "majority", "--expansion", "step")
    options += ("--method", "mcts", "--trees", "2", "--ladder", "16", "--ladder", "64")
    async with service(solving()) as scripted:
        code, _, _ = await rstar("solve", "?", "--url", scripted.url, *options)
    assert code == Exit.OK
    [request] = scripted.to("POST /solve")
    assert request.body["budget"] == {"tokens": 500, "ladder": [16, 64]}
    assert request.body["search"] == {
        "seed": 0,
        "answer": "majority",
        "expansion": "step",
        "method": "mcts",
        "trees": 2,
    }


async def test_a_file_s_answers_are_judged(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    file.write_text(
        '{"id": "a", "question": "6 * 7?", "answer": "42.0"}\n'
        '{"id": "b", "question": "40 + 1?", "answer": "41"}\n'
        '{"id": "c", "question": "?"}\n'
    )
    async with service(solving()) as scripted:
        code, out, _ = await rstar("solve", "--file", str(file), "--url", scripted.url)
        assert code == Exit.OK
        assert "1 of 2 answers are right." in out
        assert "wrong, expected 41" in out
        arguments = ("solve", "--file", str(file), "--url", scripted.url, "--json")
        code, out, _ = await rstar(*arguments)
    assert code == Exit.OK
    results = [json.loads(line) for line in out.splitlines()]
    assert [(r["id"], r["correct"], r["answer"]) for r in results] == [
        ("a", True, "42"),
        ("b", False, "42"),
        ("c", None, "42"),
    ]


async def test_a_refused_problem_does_not_end_the_others(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    file.write_text('{"id": "a", "question": "?"}\n{"id": "b", "question": "?"}\n')
    refusal = {"title": "Refused", "status": 422, "errors": [{"field": "problem", "limit": "1"}]}
    async with service({"POST /solve": [Reply(422, refusal)]}) as scripted:
        code, _, err = await rstar("solve", "--file", str(file), "--url", scripted.url)
    assert code == Exit.REFUSED
    assert "problem a: 422 Refused: problem: 1" in err
    assert "problem b: 422 Refused: problem: 1" in err


async def test_where_nothing_listens_it_says_how_to_start_it() -> None:
    [port] = free_ports("127.0.0.1", 1)
    code, _, err = await rstar("solve", "?", "--url", f"http://127.0.0.1:{port}")
    assert code == Exit.UNREACHABLE
    assert "start the stack with `rstar up`" in err


@pytest.mark.parametrize("arguments", [(), ("?", "--file", "x"), ("--file", "/nonexistent.jsonl")])
async def test_bad_options_are_refused(arguments: tuple[str, ...]) -> None:
    code, _, err = await rstar("solve", *arguments)
    assert code == Exit.REFUSED
    assert "Traceback" not in err


async def test_up_says_what_is_missing_and_starts_nothing(tmp_path: Path) -> None:
    for command in (("solve", "?", "--up"), ("up", "--port", "0", "--grpc-port", "0")):
        code, _, err = await rstar(*command, "--home", str(tmp_path))
        assert code == Exit.FAILED
        assert "rstar models pull qwen2.5-coder-0.5b" in err
        assert "Traceback" not in err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Unreachable("gone"), Exit.UNREACHABLE),
        (ApiError(Problem(title="", status=422)), Exit.REFUSED),
        (ApiError(Problem(title="", status=413)), Exit.REFUSED),
        (ApiError(Problem(title="", status=429)), Exit.BUSY),
        (ApiError(Problem(title="", status=503)), Exit.BUSY),
        (ApiError(Problem(title="", status=500)), Exit.FAILED),
        (ClientError("odd"), Exit.FAILED),
    ],
)
def test_exit_codes(error: ClientError, code: Exit) -> None:
    assert exit_code(error) is code
