"""Both models exchanged again and again under whole solves: what `rstar bench reload` measures.

Real search, sandbox, Redis, policy and PPM; the laboratory's base, which writes steps that run, and
PPMs on it. All candidates and scores are recorded between the services, and every node of every
tree is read; authorship.py tells by their content who made them.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from rstar.bench import machine
from rstar.bench.authorship import (
    Claim,
    StepBook,
    Truth,
    Verdict,
    candidates,
    judge,
    learn_policy,
    learn_ppm,
    scores,
)
from rstar.bench.exchange_costs import anonymous_mb, family, memory_figures, pause_figures
from rstar.bench.policy_process import ADMIN_TOKEN, CALL_SECONDS
from rstar.bench.ppm_recorder import recording_ppm
from rstar.bench.recorder import recording
from rstar.bench.rig import Rig, running
from rstar.bench.variant import publish_pair, publish_ppms
from rstar.stack import ports
from rstar.stack.config import LOOPBACK
from services.common import rpc
from services.common.models.store import ModelStore
from services.common.pb.policy.v1 import policy_pb2, policy_pb2_grpc
from services.common.pb.ppm.v1 import ppm_pb2, ppm_pb2_grpc
from trainer.lab.base import shipped_base
from trainer.lab.problems import generate

KINDS: Final = ("policy", "ppm")
VERSIONS: Final = ("first", "second")
# Enough that log-probabilities differ, little enough that code still runs.
NOISE: Final = 0.3
PROBLEMS: Final = 16
SECONDS: Final = 120.0
PINNED_SHARE: Final = 8
SEARCH: Final = {"candidates": 4, "seed": 7}
BUDGET: Final = {"rollouts": 8, "tokens": 2_000, "seconds": SECONDS}
# Of a context of 512.
CANDIDATE_TOKENS: Final = 192
_QUESTIONS_SEED: Final = 11

Loaded = policy_pb2.LoadResponse | ppm_pb2.LoadResponse


@dataclass(slots=True)
class Tally:
    """What came of the solves.

    Attributes:
        solves: that have ended, whatever came of them.
        answered: of them with an answer.
        mixed: of them whose tree holds more than one version of a kind.
        pinned_gone: pinned to a version that was exchanged meanwhile, and told so.
        failures: what else went wrong.
        seconds: that each finished one took.
        trees: the nodes of each, by problem.
        unlisted: of the trees, versions that the answer does not name.
    """

    solves: int = 0
    answered: int = 0
    mixed: int = 0
    pinned_gone: int = 0
    failures: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    trees: list[tuple[str, list[dict[str, Any]]]] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)

    def take(self, solution: dict[str, Any], problem: str, nodes: list[dict[str, Any]]) -> None:
        """Count a solve that has answered."""
        self.answered += solution["answer"] is not None
        self.seconds.append(solution["usage"]["seconds"])
        self.trees.append((problem, nodes))
        found = {kind: {node[kind] for node in nodes if node[kind]} for kind in KINDS}
        self.mixed += any(len(versions) > 1 for versions in found.values())
        for kind, versions in found.items():
            named = set((solution["models"][kind] or "").split(","))
            self.unlisted += [f"{kind} {one}, named {named}" for one in versions - named]


class Solver:
    """Solves problems over the REST API until it is told to stop."""

    def __init__(self, client: httpx.AsyncClient, problems: Sequence[str], tally: Tally) -> None:
        self._client = client
        self._problems = problems
        self._tally = tally
        self.enough = False

    async def run(self, number: int) -> None:
        """Solve one after another; some are pinned."""
        turn = number
        while not self.enough:
            pinned = turn % PINNED_SHARE == 0
            await self._solve(self._problems[turn % len(self._problems)], pinned=pinned)
            turn += 1

    async def _solve(self, problem: str, *, pinned: bool) -> None:
        search = SEARCH | {"versions": "pinned" if pinned else "floating"}
        body = {"problem": problem, "budget": BUDGET, "search": search}
        tally = self._tally
        try:
            reply = await self._client.post("/solve", json=body)
            if reply.status_code == httpx.codes.OK:
                solution = reply.json()
                tree = await self._client.get(f"/searches/{solution['search_id']}/tree")
                tally.take(solution, problem, tree.raise_for_status().json()["nodes"][1:])
            elif pinned and _tells_that_version_went(reply):
                tally.pinned_gone += 1
            else:
                tally.failures.append(f"{reply.status_code}: {reply.text[:200]}")
        except httpx.HTTPError as error:
            tally.failures.append(f"{type(error).__name__}: {error}")
        tally.solves += 1


def _tells_that_version_went(reply: httpx.Response) -> bool:
    """Whether a pinned search ended because its version was exchanged, and for nothing else."""
    return reply.status_code == httpx.codes.SERVICE_UNAVAILABLE and "is not served" in reply.text


@dataclass(slots=True)
class Exchanges:
    """The exchanges of one kind of model.

    Attributes:
        pauses: of new work, in ms.
        interrupted: pieces of work that were begun again.
    """

    pauses: list[float] = field(default_factory=list)
    interrupted: int = 0


@dataclass(slots=True)
class Run:
    """What was done, and what the processes held after each pair of exchanges, in MB."""

    tally: Tally = field(default_factory=Tally)
    exchanges: dict[str, Exchanges] = field(
        default_factory=lambda: {kind: Exchanges() for kind in KINDS}
    )
    memory: dict[str, list[float]] = field(default_factory=dict)
    seconds: float = 0.0
    claims: dict[str, list[Claim]] = field(default_factory=dict)


async def exchange_all(
    rig: Rig, swaps: int, between: int, run: Run, load: Callable[[str, str], Awaitable[Loaded]]
) -> None:
    """Exchange both models in turn, with some solves ended between two exchanges."""
    for number in range(swaps):
        for kind in KINDS:
            since = run.tally.solves
            while run.tally.solves < since + between:  # noqa: ASYNC110 - counted by many
                await asyncio.sleep(0.01)
            loaded = await load(kind, VERSIONS[(number + 1) % 2])
            if loaded.how != "in_place":
                raise RuntimeError(f"exchanged by {loaded.how}, which is not what is measured")
            run.exchanges[kind].pauses.append(loaded.pause_seconds * 1000)
            run.exchanges[kind].interrupted += loaded.interrupted
        for part in (*KINDS, "search"):
            if (pid := rig.supervisor.pid(part)) is not None:
                run.memory.setdefault(part, []).append(anonymous_mb(family(pid)))


async def measure(
    folder: Path, swaps: int, callers: int, wait: float | None = None
) -> dict[str, Any]:
    """All figures; the keys at the top level are stable.

    Args:
        folder: empty, for versions, logs and state.
        swaps: exchanges of each model.
        callers: solves at once.
        wait: the services' `swap_seconds`; None for their default.
    """
    store = ModelStore(folder / "store")
    base = shipped_base(ModelStore(folder / "base"))
    publish_pair(store, base, folder / "scratch", noise=NOISE)
    publish_ppms(store, base, folder / "scratch")
    run = await _run(store, swaps, callers, wait)
    truth, verdicts = {}, {}
    for kind, learn in (("policy", learn_policy), ("ppm", learn_ppm)):
        questions = sorted({claim.question for claim in run.claims[kind]})
        truth[kind] = {
            version: await learn(store.root, version, folder, questions) for version in VERSIONS
        }
        verdicts[kind] = judge(run.claims[kind], truth[kind])
    nodes = _judge_nodes(run.tally, truth)
    return _report(run, verdicts, nodes, callers)


async def _run(store: ModelStore, swaps: int, callers: int, wait: float | None) -> Run:
    run = Run()
    problems = [one.question for one in generate(PROBLEMS, "held_out", _QUESTIONS_SEED, (1, 2))]
    policy_port, ppm_port = ports.free_ports(LOOPBACK, 2)
    async with (
        recording(policy_port) as (drawn, policy_target),
        recording_ppm(ppm_port) as (scored, ppm_target),
        running(
            model=VERSIONS[0],
            policy_port=policy_port,
            ppm_port=ppm_port,
            environment=_environment(store, wait),
            policy_target=policy_target,
            ppm_target=ppm_target,
            candidate_tokens=CANDIDATE_TOKENS,
        ) as rig,
        httpx.AsyncClient(
            base_url=rig.url, timeout=SECONDS + CALL_SECONDS, trust_env=False
        ) as client,
    ):
        solver = Solver(client, problems, run.tally)
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(callers):
                group.create_task(solver.run(number))
            try:
                load = loader(policy_port, ppm_port)
                await exchange_all(rig, swaps, max(1, callers // 4), run, load)
            finally:
                solver.enough = True
        run.seconds = time.monotonic() - began
        await drawn.settle()
        run.claims = {"policy": candidates(drawn.drawn), "ppm": scores(scored.scored)}
    return run


def _environment(store: ModelStore, wait: float | None) -> dict[str, str]:
    settings = {
        "STORE": store.location,
        "MODEL": VERSIONS[0],
        "ADMIN_TOKEN": ADMIN_TOKEN,
        "KV_CACHE_GIB": "0.25",
        **({} if wait is None else {"SWAP_SECONDS": str(wait)}),
    }
    return {
        f"RSTAR_{kind}_{name}".upper(): value for kind in KINDS for name, value in settings.items()
    }


def loader(policy_port: int, ppm_port: int) -> Callable[[str, str], Awaitable[Loaded]]:
    """What asks a policy or a PPM of this machine to serve a version."""
    policy = policy_pb2_grpc.AdminServiceStub(rpc.channel(f"{LOOPBACK}:{policy_port}"))
    ppm = ppm_pb2_grpc.AdminServiceStub(rpc.channel(f"{LOOPBACK}:{ppm_port}"))
    shown = (("authorization", f"Bearer {ADMIN_TOKEN}"),)

    async def load(kind: str, version: str) -> Loaded:
        if kind == "ppm":
            asked = ppm_pb2.LoadRequest(model=version)
            return await ppm.Load(asked, timeout=CALL_SECONDS, metadata=shown)
        wanted = policy_pb2.LoadRequest(model=version)
        return await policy.Load(wanted, timeout=CALL_SECONDS, metadata=shown)

    return load


def _judge_nodes(tally: Tally, truth: Mapping[str, Truth]) -> Verdict:
    """Hold what the trees say of their steps against what fresh engines make."""
    policy, ppm = StepBook(), StepBook()
    policy.learn_policy(truth["policy"])
    ppm.learn_ppm(truth["ppm"])
    verdict = Verdict()
    for problem, nodes in tally.trees:
        for node in nodes:
            said = [(policy, node["policy"], node["mean_logprob"])]
            if node["ppm_score"] is not None:
                said.append((ppm, node["ppm"], node["ppm_score"]))
            for book, version, number in said:
                verdict.claims += 1
                if not book.holds(version, problem, node, number):
                    verdict.lies.append(f"node {node['text']!r} of {version}: {number}")
    return verdict


def _report(run: Run, verdicts: dict[str, Verdict], nodes: Verdict, callers: int) -> dict[str, Any]:
    tally = run.tally
    lies = [lie for one in (*verdicts.values(), nodes) for lie in one.lies] + tally.unlisted
    every = [pause for one in run.exchanges.values() for pause in one.pauses]
    seconds = sorted(tally.seconds) or [0.0]
    return {
        "swaps": len(run.exchanges["policy"].pauses),
        "failed_requests": len(tally.failures),
        "mislabelled": len(lies),
        "pause_ms": pause_figures(every),
        "by_kind": {
            kind: {
                "swaps": len(one.pauses),
                "pause_ms": pause_figures(one.pauses),
                "interrupted": one.interrupted,
                **verdicts[kind].figures(),
            }
            for kind, one in run.exchanges.items()
        },
        "nodes": {"checked": nodes.claims, "mislabelled": len(nodes.lies)},
        "solves": tally.solves,
        "answered": tally.answered,
        "of_several_versions": tally.mixed,
        "pinned_gone": tally.pinned_gone,
        "solve_seconds": {"p50": round(statistics.median(seconds), 2), "max": seconds[-1]},
        "memory_mb": {part: memory_figures(series) for part, series in run.memory.items()},
        "callers": callers,
        "seconds": round(run.seconds, 1),
        "faults": (tally.failures + lies)[:5],
        "machine": machine.describe(),
    }


def render(figures: dict[str, Any]) -> str:
    """The figures as text."""
    pause, solves = figures["pause_ms"], figures["solve_seconds"]
    lines = {
        "exchanges of each model": f"{figures['swaps']} in {figures['seconds']} s",
        "solves, failed": f"{figures['solves']}, {figures['failed_requests']}",
        "of models of several versions": figures["of_several_versions"],
        "pinned to a version that went": figures["pinned_gone"],
        "a solve, s": f"p50 {solves['p50']}, longest {solves['max']}",
        "wrong labels": figures["mislabelled"],
        "pause of new work, ms": f"p50 {pause['p50']}, p99 {pause['p99']}",
    }
    for kind, one in figures["by_kind"].items():
        pause = one["pause_ms"]
        lines |= {
            f"{kind}: checked, same of both": f"{one['checked']}, {one['same_of_both']}",
            f"{kind}: largest drift": one["largest_drift"],
            f"{kind}: pause, ms": f"p50 {pause['p50']}, p99 {pause['p99']}",
            f"{kind}: begun again": one["interrupted"],
        }
    lines["nodes of trees checked"] = figures["nodes"]["checked"]
    for part, memory in figures["memory_mb"].items():
        lines[f"{part}: memory, MB"] = (
            f"first {memory['first']}, last {memory['last']}, "
            f"{memory['growth_per_swap']} an exchange in the second half"
        )
    return "\n".join([*(f"{name:36} {value}" for name, value in lines.items()), *figures["faults"]])
