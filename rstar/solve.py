"""`rstar solve`: problems to a running stack, or to one that is started for them and stopped."""

import asyncio
import contextlib
import functools
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from rstar.client import ApiError, AsyncClient, ClientError, Solution, Unreachable
from rstar.own_ppm import with_ppm
from rstar.own_stack import own_stack
from rstar.progress import ProgressLine
from rstar.show import printable, show_solution
from rstar.stack.config import StackConfig
from rstar.stack.preflight import PreflightError
from rstar.stack.supervisor import StartError
from trainer.problems.problem import Problem

if TYPE_CHECKING:
    from services.common.grading.grader import Grader

TOO_MANY_REQUESTS = 429
SERVER_ERROR = 500
UNAVAILABLE = 503


class Exit(IntEnum):
    """Exit codes of `rstar solve`."""

    OK = 0
    """Every problem was searched, whether the answer is right or not."""
    FAILED = 1
    """The stack could not be started, or a search failed."""
    REFUSED = 2
    """Bad options, a bad file, or a problem that the service refuses."""
    UNREACHABLE = 3
    """Nothing answers at the URL."""
    BUSY = 4
    """The service cannot take it now (429, 503)."""


@dataclass(frozen=True, slots=True)
class SolveRun:
    """What one `rstar solve` is asked for.

    Attributes:
        problems: what to solve.
        url: the search service; ignored where a stack is started.
        budget, search: fields of POST /solve; only those that were given.
        as_json: print one JSON object a problem instead of text.
        stack: how to start a stack for it; None uses the one at url.
    """

    problems: Sequence[Problem]
    url: str
    budget: Mapping[str, object] = field(default_factory=dict)
    search: Mapping[str, object] = field(default_factory=dict)
    as_json: bool = False
    stack: StackConfig | None = None


class Judge:
    """Says whether answers are right, with the grader that evaluation uses; counts them."""

    def __init__(self, grader: "Grader | None") -> None:
        self._grader = grader
        self.right = 0
        self.known = 0

    async def judge(self, problem: Problem, answer: str | None) -> bool | None:
        """Whether an answer is right; None where that is not known."""
        if not problem.answer or self._grader is None:
            return None
        right = answer is not None and await self._grader.correct(problem.answer, answer)
        self.known += 1
        self.right += right
        return right


async def solve(asked: SolveRun) -> int:
    """Solve all problems, print them, and return the exit code."""
    out, err = Console(highlight=False), Console(stderr=True, highlight=False)
    try:
        async with contextlib.AsyncExitStack() as exits:
            url = await exits.enter_async_context(_service(asked, err))
            client = await exits.enter_async_context(AsyncClient(url))
            judge = Judge(await _grader(asked, exits))
            return await _solve_all(asked, client, judge, out, err)
    except (PreflightError, StartError) as error:
        _complain(err, f"the stack was not started: {error}")
        return Exit.FAILED


@contextlib.asynccontextmanager
async def _service(asked: SolveRun, err: Console) -> AsyncIterator[str]:
    """The URL of the service to use, for as long as it is used."""
    if asked.stack is None:
        yield asked.url
        return
    note = functools.partial(_note, err)
    config = await asyncio.to_thread(with_ppm, asked.stack, note)
    async with own_stack(config, "solve", note) as stack:
        yield stack.url


async def _grader(asked: SolveRun, exits: contextlib.AsyncExitStack) -> "Grader | None":
    if not any(problem.answer for problem in asked.problems):
        return None
    from services.common.grading.grader import Grader  # math-verify, which a mere client may lack

    return await exits.enter_async_context(Grader())


async def _solve_all(
    asked: SolveRun, client: AsyncClient, judge: Judge, out: Console, err: Console
) -> int:
    code = Exit.OK
    for number, problem in enumerate(asked.problems, 1):
        if problem.id and not asked.as_json:
            _title(out, number, len(asked.problems), problem)
        try:
            solution = await _solve_one(asked, client, problem, err)
        except ClientError as error:
            _complain(err, f"problem {problem.id}: {error}" if problem.id else str(error))
            code = max(code, exit_code(error))
            if exit_code(error) is Exit.REFUSED:
                continue
            return code
        _present(asked, out, problem, solution, await judge.judge(problem, solution.answer))
    if judge.known and not asked.as_json:
        out.print(f"\n{judge.right} of {judge.known} answers are right.")
    return code


async def _solve_one(
    asked: SolveRun, client: AsyncClient, problem: Problem, err: Console
) -> Solution:
    with ProgressLine(err) as line:
        async for event in client.stream(problem.question, asked.budget, asked.search):
            if isinstance(event, Solution):
                return event
            line.update(event)
    raise Unreachable(f"{client.url} ended the search without a solution")


def exit_code(error: ClientError) -> Exit:
    """The exit code of a failed request."""
    if isinstance(error, Unreachable):
        return Exit.UNREACHABLE
    if not isinstance(error, ApiError):
        return Exit.FAILED
    status = error.problem.status
    if status in (TOO_MANY_REQUESTS, UNAVAILABLE):
        return Exit.BUSY
    return Exit.FAILED if status >= SERVER_ERROR else Exit.REFUSED


def _title(out: Console, number: int, count: int, problem: Problem) -> None:
    title = f"\n[{number}/{count}] {printable(problem.question).strip()}"
    out.print(Text(title, "bold blue"), soft_wrap=True)


def _present(
    asked: SolveRun, out: Console, problem: Problem, solution: Solution, right: bool | None
) -> None:
    if asked.as_json:
        given = {"id": problem.id, "expected": problem.answer or None, "correct": right}
        print(json.dumps(given | solution.model_dump()), flush=True)
        return
    verdict = "" if right is None else "right" if right else f"wrong, expected {problem.answer}"
    show_solution(out, solution, verdict)


def _note(err: Console, text: str) -> None:
    err.print(text, markup=False, style="dim", soft_wrap=True)


def _complain(err: Console, text: str) -> None:
    err.print(Text(f"rstar: {printable(text)}", "red"), soft_wrap=True)
