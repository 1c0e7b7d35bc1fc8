"""`rstar eval` as a process, against a scripted search service, with the real grader."""

import asyncio
import json
import os
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from services.common import rpc
from services.common.pb.search.v1 import search_pb2 as pb
from tests.support.scripted_search import ScriptedSearch, serving
from trainer.evaluation.report import read_run

PROBLEMS = {
    "add": ("What is 1 + 1?", "2", r"\frac{4}{2}"),
    "half": ("What is half of 1?", r"\frac{1}{2}", "0.5"),
    "root": ("What is the root of 2?", r"\sqrt{2}", "sqrt(2)"),
    "wrong": ("What is 2 + 2?", "4", "400"),
}
TIMEOUT_SECONDS = 120


@dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def runs(self) -> list[dict[str, Any]]:
        return json.loads(self.out)


def script(request: pb.SolveRequest) -> pb.Solution:
    """Greedy answers as in PROBLEMS; any other method knows the right answer as an alternative."""
    (given,) = [p for p in PROBLEMS.values() if p[0] == request.problem]
    found = [pb.Alternative(answer=given[2], weight=0.75, trajectories=3)]
    if request.search.method != pb.METHOD_GREEDY:
        found.append(pb.Alternative(answer=given[1], weight=0.25, trajectories=1))
    return pb.Solution(
        search_id="s",
        answer=given[2],
        confidence=0.75,
        steps=[pb.SolutionStep(text="Answer", code="print()", output=given[2], q=0.5, visits=3)],
        alternatives=found,
        stop_reason=pb.STOP_REASON_TOKENS,
        usage=pb.Usage(rollouts=4, nodes=9, policy_tokens=100 * len(found), seconds=1.5),
        models=pb.Models(policy="policy-1"),
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    lines = [{"id": i, "question": q, "answer": a} for i, (q, a, _) in PROBLEMS.items()]
    path = tmp_path / "four.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


async def start(target: str, data: Path, *arguments: str) -> asyncio.subprocess.Process:
    code = "from rstar.evaluate import app; app()"
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, "--target", target, "--data", str(data)),
        *("--out", str(data.parent / "out"), "--json", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "COLUMNS": "400"},
    )


async def finish(process: asyncio.subprocess.Process) -> Ran:
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Ran(process.returncode, out.decode(), err.decode())


async def run(target: str, data: Path, *arguments: str) -> Ran:
    return await finish(await start(target, data, *arguments))


async def test_two_methods_are_measured_and_compared(data: Path) -> None:
    search = ScriptedSearch(script)
    async with serving(search) as target:
        ran = await run(
            target, data, "--method", "greedy,mcts", "--budget", "tokens=900", "--limit", "4"
        )
    assert ran.code == 0, ran.err
    greedy, tree = ran.runs
    assert (greedy["suite"], greedy["method"], greedy["n"]) == ("four", "greedy", 4)
    assert greedy["accuracy"] == tree["accuracy"] == 0.75
    assert greedy["ci95"] == pytest.approx([0.3006, 0.9544], abs=1e-4)
    assert (greedy["oracle"], tree["oracle"]) == (0.75, 1.0)
    assert greedy["policy_tokens_per_problem"] == 100
    assert tree["policy_tokens_per_problem"] == 200
    assert tree["seconds_per_problem"] == 1.5
    assert tree["stop_reasons"] == {"tokens": 4}
    assert tree["grader"][0].startswith("math-verify")
    assert {request.budget.tokens for request in search.requests} == {10_000_000, 900}

    code = "from rstar.evaluate import app; app()"
    compared = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, "compare", greedy["out"], tree["out"], "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    result = json.loads((await finish(compared)).out)
    assert (result["n"], result["both"], result["p_value"]) == (4, 3, 1.0)


def tree(search_id: str) -> list[pb.TreeNode]:
    """One solution that is wrong everywhere but in the problem `add`, and two that are not."""

    def leaf(identity: str, answer: str, samples: int) -> pb.TreeNode:
        outcome = pb.NODE_OUTCOME_TERMINAL
        step = {"step": f"print({answer})", "answer": answer, "tokens": 5, "mean_logprob": -1.0}
        return pb.TreeNode(id=identity, parent="root", outcome=outcome, samples=samples, **step)

    root = pb.TreeNode(id="root", outcome=pb.NODE_OUTCOME_OPEN, visits=3)
    return [root, leaf("a", "4/2", 1), leaf("b", "1/2", 2)]


async def test_trees_are_kept_and_every_answer_rule_is_told(data: Path) -> None:
    search = ScriptedSearch(script, tree)
    async with serving(search) as target:
        ran = await run(target, data, "--method", "mcts")
    assert ran.code == 0, ran.err
    (summary,) = ran.runs
    shares = {name: one["accuracy"] for name, one in summary["rules"].items()}
    # The first solution answers "add", the one that was drawn twice "half".
    assert shares == {
        "first": 0.25,
        "majority": 0.25,
        "likeliest": 0.25,
        "by_likelihood": 0.25,
        "oracle": 0.5,
    }
    run_of = read_run(Path(summary["out"]))
    right = {i for i, one in run_of.records.items() if one.rules["majority"].correct}
    assert right == {"half"}
    assert summary["prompt_version"] == ["bare-1"]
    assert summary["engine"] == ["engine 1, cpu, float32"]
    (kept,) = run_of.trees(run_of.records["add"])
    assert {node.answer: node.correct for node in kept.nodes.values()} == {
        "4/2": True,
        "1/2": False,
    }


async def test_a_second_run_asks_only_for_what_is_missing(data: Path) -> None:
    search = ScriptedSearch(script)
    async with serving(search) as target:
        first = await run(target, data, "--method", "greedy", "--limit", "2")
        second = await run(target, data, "--method", "greedy")
        third = await run(target, data, "--method", "greedy", "--seed", "5")
    assert [run["n"] for run in first.runs + second.runs + third.runs] == [2, 4, 4]
    assert len(search.requests) == 2 + 2 + 4
    assert first.runs[0]["out"] == second.runs[0]["out"] != third.runs[0]["out"]


async def test_a_failed_problem_is_counted_and_tried_again(data: Path) -> None:
    def failing(request: pb.SolveRequest) -> pb.Solution:
        if "root" in request.problem:
            raise rpc.StatusError(grpc.StatusCode.INTERNAL, "broken")
        return script(request)

    search = ScriptedSearch(failing)
    async with serving(search) as target:
        failed = await run(target, data, "--method", "greedy")
        search.script = script
        mended = await run(target, data, "--method", "greedy")
    assert failed.code == 1
    assert "problem root: INTERNAL: broken" in failed.err
    assert (failed.runs[0]["n"], failed.runs[0]["failures"]) == (4, 1)
    assert failed.runs[0]["accuracy"] == 0.5
    assert mended.code == 0
    assert (mended.runs[0]["failures"], mended.runs[0]["accuracy"]) == (0, 0.75)
    assert len(search.requests) == 5


async def test_a_busy_service_is_asked_again(data: Path) -> None:
    refusals = iter([grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE])

    def busy(request: pb.SolveRequest) -> pb.Solution:
        if (code := next(refusals, None)) is not None:
            raise rpc.StatusError(code, "later")
        return script(request)

    search = ScriptedSearch(busy)
    async with serving(search) as target:
        ran = await run(target, data, "--method", "greedy", "--concurrency", "1")
    assert ran.code == 0, ran.err
    assert ran.runs[0]["failures"] == 0
    assert len(search.requests) == 6


async def test_a_service_that_stays_away_stops_the_run(data: Path) -> None:
    def away(request: pb.SolveRequest) -> pb.Solution:
        raise rpc.StatusError(grpc.StatusCode.UNAVAILABLE, "policy is down")

    async with serving(ScriptedSearch(away)) as target:
        ran = await run(target, data, "--method", "greedy", "--patience", "0", "--concurrency", "2")
    assert ran.code == 4
    assert "policy is down" in ran.err
    assert "Traceback" not in ran.err


async def test_refused_settings_stop_the_run_but_a_refused_problem_does_not(data: Path) -> None:
    def refusing(request: pb.SolveRequest) -> pb.Solution:
        if request.search.depth > 32:
            raise rpc.InvalidField("search.depth", "at most 32")
        if "root" in request.problem:
            raise rpc.InvalidField("problem", "too long")
        return script(request)

    async with serving(ScriptedSearch(refusing)) as target:
        settings = await run(target, data, "--method", "mcts", "--set", "depth=33")
        problem = await run(target, data, "--method", "mcts")
    assert settings.code == 4
    assert "search.depth: at most 32" in settings.err
    assert problem.code == 1
    assert problem.runs[0]["failures"] == 1


async def test_problems_run_side_by_side_up_to_the_limit(data: Path) -> None:
    search = ScriptedSearch(script)
    search.hold = asyncio.Event()
    async with serving(search) as target:
        process = await start(target, data, "--method", "greedy", "--concurrency", "3")
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while len(search.requests) < 3:
                await asyncio.sleep(0.05)
        search.hold.set()
        ran = await finish(process)
    assert ran.code == 0, ran.err
    assert search.most_at_once == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_cancels_the_searches_and_keeps_what_is_done(
    data: Path, number: signal.Signals
) -> None:
    search = ScriptedSearch(script)
    async with serving(search) as target:
        first = await run(target, data, "--method", "greedy", "--limit", "1")
        search.hold = asyncio.Event()
        process = await start(target, data, "--method", "greedy", "--concurrency", "2")
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while len(search.requests) < 3:
                await asyncio.sleep(0.05)
        process.send_signal(number)
        ran = await finish(process)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while search.cancelled < 2:
                await asyncio.sleep(0.05)
        cut_off = read_run(Path(first.runs[0]["out"])).summary
        search.hold = None
        again = await run(target, data, "--method", "greedy")
    # The run that was cut off can be looked at.
    assert (cut_off.n, cut_off.missing) == (1, 3)
    assert ran.code == 130
    assert "Traceback" not in ran.err
    assert again.runs[0]["n"] == 4
    assert len(search.requests) == 1 + 2 + 3


async def test_a_model_that_changed_under_a_run_is_noticed(data: Path) -> None:
    def newer(request: pb.SolveRequest) -> pb.Solution:
        solution = script(request)
        solution.models.policy = "policy-2"
        return solution

    search = ScriptedSearch(script)
    async with serving(search) as target:
        await run(target, data, "--method", "greedy", "--limit", "1")
        search.script = newer
        ran = await run(target, data, "--method", "greedy")
    assert ran.code == 2
    assert "'policy-1'" in ran.err
    assert "'policy-2'" in ran.err


async def test_bad_input_is_named_without_a_traceback(data: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{taken.getsockname()[1]}"
        absent = await run(nobody, data, "--method", "greedy")
    unknown = await run(nobody, data, "--method", "guess")
    missing = await run(nobody, data.with_name("none.jsonl"))
    async with serving(ScriptedSearch(script)) as target:
        file_as_folder = await run(target, data, "--out", str(data))
    assert (absent.code, unknown.code, missing.code, file_as_folder.code) == (3, 2, 2, 2)
    assert "nothing answers at" in absent.err
    assert "method guess: not one of" in unknown.err
    assert "none.jsonl" in missing.err
    assert not any("Traceback" in ran.err for ran in (absent, unknown, missing, file_as_folder))


async def test_other_models_than_were_asked_for_stop_the_run(data: Path) -> None:
    async with serving(ScriptedSearch(script)) as target:
        right = await run(target, data, "--method", "greedy", "--models", "policy=policy-1")
        wrong = await run(target, data, "--method", "mcts", "--models", "policy=policy-2")
        unread = await run(target, data, "--models", "policy")
    assert (right.code, wrong.code, unread.code) == (0, 4, 2)
    assert "policy 'policy-1' answers, 'policy-2' was asked for" in wrong.err


async def test_runs_become_a_page(data: Path) -> None:
    async with serving(ScriptedSearch(script)) as target:
        ran = await run(target, data, "--method", "greedy,mcts")
    out = data.parent / "page"
    made = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from rstar.evaluate import app; app()", "report"),
        *(*(one["out"] for one in ran.runs), "--out", str(out)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert (await finish(made)).code == 0
    assert "0 won by mcts" in (out / "report.html").read_text()
