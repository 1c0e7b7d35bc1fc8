"""Whether two answers are equal.

Equal text, numbers and words are decided at once, in this process. The rest goes to math-verify in
worker processes that are killed at a deadline: an answer such as `(10^{9})!` would occupy it for
ever. A pair that kills its worker counts as not equal.
"""

import asyncio
import contextlib
import importlib.metadata
import itertools
import json
import os
import re
import sys
from collections import OrderedDict
from types import TracebackType
from typing import Literal, Self

from services.common import logs
from services.common.grading import answers, numerals

GRADER_VERSION = f"math-verify {importlib.metadata.version('math-verify')}, rules 1"

MAX_PAIRS_WAITING = 4096
MAX_CACHED_PAIRS = 65_536

_START_SECONDS = 120.0  # importing sympy on a busy machine
_WORDS = re.compile(r"[A-Za-z][A-Za-z' -]*")
_WORD_LETTERS = 4  # as many letters in a row are a word, fewer may be a product of variables

_Op = Literal["equal", "same"]
_Pair = tuple[_Op, str, str]

log = logs.get(__name__)


class GraderUnavailable(RuntimeError):  # noqa: N818 - a state
    """The grader is closed, overfull, or its workers cannot be started."""


class Grader:
    """A pool of math-verify workers behind a cache.

    Args:
        workers: worker processes, 1 or more; each holds about 65 MB.
        deadline: seconds that one pair may take in a worker; waiting for a worker is not counted.

    Attributes:
        kills: workers lost so far, killed at the deadline or crashed.
    """

    def __init__(self, workers: int = 1, deadline: float = 5.0) -> None:
        if workers < 1 or deadline <= 0:
            raise ValueError("workers: at least 1; deadline: above 0 seconds")
        self.kills = 0
        self._size = workers
        self._deadline = deadline
        self._idle: asyncio.Queue[_Worker] = asyncio.Queue()
        self._workers: list[_Worker] = []
        self._running: dict[_Pair, asyncio.Task[bool]] = {}
        self._cache: OrderedDict[_Pair, bool] = OrderedDict()
        self._open = False

    async def start(self) -> None:
        """Start the workers and wait until they answer. GraderUnavailable where they do not."""
        self._workers = [_Worker(self._deadline) for _ in range(self._size)]
        try:
            await asyncio.gather(*(worker.start() for worker in self._workers))
        except BaseException:
            await self.close()
            raise
        for worker in self._workers:
            self._idle.put_nowait(worker)
        self._open = True

    async def close(self) -> None:
        """Stop the workers; pairs in flight end with GraderUnavailable."""
        self._open = False
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(worker.stop() for worker in self._workers))
        self._workers.clear()
        self._idle = asyncio.Queue()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def equal(self, a: str, b: str) -> bool:
        """Whether two answers of a model are the same; symmetric."""
        first, second = sorted((a, b))
        return await self._decide("same", first, second)

    async def correct(self, gold: str, answer: str) -> bool:
        """Whether `answer` is right, given the reference answer `gold`."""
        return await self._decide("equal", gold, answer)

    async def _decide(self, op: _Op, a: str, b: str) -> bool:
        quick = compare_text(a, b)
        if quick is not None:
            return quick
        pair = (op, a, b)
        if pair in self._cache:
            self._cache.move_to_end(pair)
            return self._cache[pair]
        task = self._running.get(pair) or self._submit(pair)
        try:
            # A caller who leaves takes nobody along who waits for the same pair.
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise GraderUnavailable("the grader was closed") from None
            raise

    def _submit(self, pair: _Pair) -> asyncio.Task[bool]:
        if not self._open:
            raise GraderUnavailable("the grader is not open")
        if len(self._running) >= MAX_PAIRS_WAITING:
            raise GraderUnavailable(f"{MAX_PAIRS_WAITING} pairs are waiting already")
        task = asyncio.create_task(self._compare(pair))
        self._running[pair] = task
        task.add_done_callback(lambda _: self._running.pop(pair, None))
        return task

    async def _compare(self, pair: _Pair) -> bool:
        worker = await self._idle.get()
        try:
            equal = await worker.compare(*pair)
            if equal is None:
                self.kills += 1
                log.warning("grader worker lost", deadline_seconds=self._deadline)
        finally:
            self._idle.put_nowait(worker)
        self._cache[pair] = bool(equal)
        if len(self._cache) > MAX_CACHED_PAIRS:
            self._cache.popitem(last=False)
        return bool(equal)


def compare_text(a: str, b: str) -> bool | None:
    """Equality of two answers as far as text, exact numbers and words decide it, else None.

    An empty answer equals nothing; neither does one of more than MAX_ANSWER_CHARS characters. A
    number beyond all bounds equals only its own text.
    """
    if not a.strip() or not b.strip() or max(len(a), len(b)) > answers.MAX_ANSWER_CHARS:
        return False
    form_a, form_b = answers.normalize(a), answers.normalize(b)
    if form_a == form_b:
        return bool(form_a)
    number_a, number_b = numerals.parse(form_a), numerals.parse(form_b)
    if number_a is not None and number_b is not None:
        return numerals.equal(number_a, number_b)
    if _WORDS.fullmatch(form_a) and _WORDS.fullmatch(form_b):
        return _compare_words(form_a, form_b)
    if numerals.is_explosive(form_a) or numerals.is_explosive(form_b):
        return False
    return None


def _compare_words(a: str, b: str) -> bool | None:
    """Equality up to case and spacing; None for letters that may be variables."""
    if len(a) > 1 and a.replace(" ", "").casefold() == b.replace(" ", "").casefold():
        return True
    is_word = any(len(part) >= _WORD_LETTERS for part in re.split(r"[ '-]", f"{a} {b}"))
    return False if is_word else None


class _Worker:
    """One worker process; restarted when it is next needed after it was lost."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._process: asyncio.subprocess.Process | None = None
        self._ids = itertools.count()

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.common.grading.grader_worker", str(os.getpid())),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,  # math-verify logs answers there
        )
        try:
            async with asyncio.timeout(_START_SECONDS):
                hello = await self._read(self._process)
        except TimeoutError:
            hello = None
        except BaseException:
            await self.stop()
            raise
        if not hello or "ready" not in hello:
            await self.stop()
            reason = hello.get("error") if hello else "it did not come up"
            raise GraderUnavailable(f"no grader worker: {reason}")

    async def stop(self) -> None:
        """Kill and reap the process."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    async def compare(self, op: _Op, a: str, b: str) -> bool | None:
        """Ask the process; None where it was lost over the question."""
        if self._process is None:
            await self.start()
        process = self._process
        assert process is not None  # noqa: S101 - by start
        assert process.stdin is not None  # noqa: S101 - it is a pipe
        number = next(self._ids)
        request = {"id": number, "op": op, "a": a, "b": b, "cpu_seconds": self._deadline}
        reply = None
        try:
            async with asyncio.timeout(self._deadline):
                process.stdin.write(json.dumps(request).encode() + b"\n")
                await process.stdin.drain()
                reply = await self._read(process)
        except (TimeoutError, ConnectionError):
            reply = None
        finally:
            if reply is None or reply.get("id") != number:
                await self.stop()
        return None if reply is None else bool(reply["equal"])

    @staticmethod
    async def _read(process: asyncio.subprocess.Process) -> dict[str, object] | None:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        line = await process.stdout.readline()
        return json.loads(line) if line else None
