"""The folder of a run: its settings, and one record a problem, kept from the moment it is known."""

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from pydantic import BaseModel, ValidationError

from trainer.evaluation.rules import Choice

RUN_FILE = "run.json"
RECORDS_FILE = "records.jsonl"
MADE_WITH = ("policy", "ppm", "prompt_version", "policy_engine", "ppm_engine", "grader")
"""What must be the same in all records of a run, since their results are averaged."""


class RunError(Exception):
    """A run's folder that cannot be used; the message says why and what to do."""


class RatedAnswer(BaseModel):
    """One of the answers that a search found: its share of the weight, and whether it is right."""

    answer: str
    weight: float
    trajectories: int
    correct: bool


class Failure(BaseModel):
    """Why a problem has no result: the RPC status and its details."""

    code: str
    details: str


class Usage(BaseModel):
    """What a search spent; see Usage in search.proto."""

    rollouts: int = 0
    nodes: int = 0
    policy_tokens: int = 0
    ppm_calls: int = 0
    sandbox_runs: int = 0
    cut_tokens: int = 0
    seconds: float = 0.0


class Step(BaseModel):
    """One step of the chosen solution; see SolutionStep in search.proto."""

    text: str
    code: str
    output: str
    q: float
    visits: int
    ppm_score: float | None = None


class Record(BaseModel):
    """One problem of a run.

    Attributes:
        question: the problem, so that a report can show it.
        problem_digest: hash of question and reference answer.
        answer: what was answered; None where no solution was finished, or the call failed.
        correct: whether the grader accepts it; a failure is not correct.
        failure: set where the service gave no result.
        policy, ppm: versions that answered; `ppm` is empty in an unguided search.
        prompt_version: how problems were put to the policy.
        policy_engine, ppm_engine: what computed them.
        rules: what each answer rule would have answered, by name; see trainer.evaluation.rules.
        seconds: wall clock as the caller saw it, retries included.
    """

    id: str
    question: str = ""
    problem_digest: str
    gold: str
    seed: int
    answer: str | None = None
    correct: bool = False
    confidence: float = 0.0
    guided: bool = False
    stop_reason: str = ""
    usage: Usage = Usage()
    policy: str = ""
    ppm: str = ""
    prompt_version: str = ""
    policy_engine: str = ""
    ppm_engine: str = ""
    alternatives: list[RatedAnswer] = []
    steps: list[Step] = []
    rules: dict[str, Choice] = {}
    failure: Failure | None = None
    seconds: float = 0.0
    search_id: str = ""
    grader: str
    settings_digest: str

    def right_by(self, rule: str) -> bool:
        """Whether it is right by an answer rule; by its own for the empty name."""
        if not rule:
            return self.correct
        return rule in self.rules and self.rules[rule].correct

    @property
    def oracle(self) -> bool:
        """Whether any answer that was found is right."""
        return self.correct or any(one.correct for one in self.alternatives)

    @property
    def right_samples(self) -> int:
        """Finished solutions that are right, repeated ones counted each time."""
        return sum(one.trajectories for one in self.alternatives if one.correct)


class RunFolder:
    """The folder of one run, locked while it is open; a context manager.

    Records are appended and synced one by one, so a run that is cut off loses at most what was in
    flight. The last record of a problem counts.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        """Nothing is touched before the folder is entered.

        Args:
            path: made where it is missing.
            settings: what all records share; a folder begun with others is refused.
        """
        self.path = path
        self._settings = dict(settings)
        self._file: IO[bytes] | None = None
        self.records: dict[str, Record] = {}

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            file = (self.path / RECORDS_FILE).open("ab+")
        except OSError as error:
            raise RunError(f"cannot write a run there: {error}") from error
        try:
            self._lock(file)
            self._check_settings()
            self.records = _read(file, self.path)
        except BaseException:
            file.close()
            raise
        self._file = file
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def append(self, record: Record) -> None:
        """Keep a record; it is on the disk when this returns.

        RunError where other models, prompts, engines or graders were at work than before.
        """
        if self._file is None:
            raise RunError(f"{self.path} is not open")
        self._check_models(record)
        try:
            self._file.write(record.model_dump_json().encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise RunError(f"{self.path / RECORDS_FILE}: {error}") from error
        self.records[record.id] = record

    def _lock(self, file: IO[bytes]) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"{self.path}: another evaluation is writing there") from None

    def _check_settings(self) -> None:
        path = self.path / RUN_FILE
        if not path.exists():
            temporary = path.with_suffix(".new")
            temporary.write_text(json.dumps(self._settings, indent=2) + "\n", encoding="utf-8")
            temporary.replace(path)
            return
        before = read_settings(self.path)
        names = {*before, *self._settings}
        differing = sorted(n for n in names if before.get(n) != self._settings.get(n))
        if differing:
            raise RunError(
                f"{self.path} holds a run with another {', '.join(differing)}; "
                "choose another --out, or remove it"
            )

    def _check_models(self, record: Record) -> None:
        """Only the newest record with models is looked at: those before it agree with it."""
        if not record.policy:
            return
        for known in reversed(self.records.values()):
            if known.policy:
                break
        else:
            return
        for name in MADE_WITH:
            before, now = getattr(known, name), getattr(record, name)
            # What a record of an older service does not say cannot differ.
            if before != now and (name in ("policy", "ppm") or (before and now)):
                raise RunError(
                    f"{self.path} was begun with {name} {before!r}, but {now!r} answers; "
                    "choose another --out"
                )


def read_settings(path: Path) -> dict[str, Any]:
    """The settings of a run's folder; RunError where it is none."""
    try:
        settings = json.loads((path / RUN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: no run of an evaluation ({error})") from error
    if not isinstance(settings, dict):
        raise RunError(f"{path / RUN_FILE}: not a JSON object")
    return settings


def read_records(path: Path) -> dict[str, Record]:
    """The records of a run's folder by problem, without changing it; RunError where it is none."""
    try:
        data = (path / RECORDS_FILE).read_bytes()
    except OSError as error:
        raise RunError(f"{path}: no run of an evaluation ({error})") from error
    return _parse(data[: data.rfind(b"\n") + 1], path)


def _read(file: IO[bytes], path: Path) -> dict[str, Record]:
    """All whole lines; what a crash left of a last one is cut off."""
    file.seek(0)
    data = file.read()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        file.truncate(whole)
    file.seek(0, os.SEEK_END)
    return _parse(data[:whole], path)


def _parse(data: bytes, path: Path) -> dict[str, Record]:
    records: dict[str, Record] = {}
    for number, line in enumerate(data.splitlines(), 1):
        try:
            record = Record.model_validate_json(line)
        except ValidationError as error:
            raise RunError(
                f"{path / RECORDS_FILE}, line {number}: {error.errors()[0]['msg']}"
            ) from error
        records.pop(record.id, None)
        records[record.id] = record
    return records
