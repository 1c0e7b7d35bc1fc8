"""Who made a candidate or a score, told by its content.

Each version is served once more by an engine that has never held another one, and is asked again
for everything that was recorded, with the same seeds. What bears a version's label must be what
that engine makes.
"""

import asyncio
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from rstar.bench.policy_process import CALL_SECONDS, model_process
from rstar.bench.ppm_recorder import Scored
from rstar.bench.recorder import Drawn
from services.common.pb.policy.v1 import policy_pb2, policy_pb2_grpc
from services.common.pb.ppm.v1 import ppm_pb2, ppm_pb2_grpc
from services.common.steps import split_comment

TOLERANCE: Final = 2e-3
"""float32 on a CPU rounds otherwise in other batches; of a log-probability, or a score."""
_AT_ONCE: Final = 64
_BATCH: Final = 128


@dataclass(frozen=True, slots=True)
class Content:
    """What a model has made.

    Attributes:
        texts: of the steps; empty for a score.
        numbers: the mean log-probability of each, or the score.
    """

    texts: tuple[str, ...]
    numbers: tuple[float, ...]

    @classmethod
    def of(cls, reply: policy_pb2.ProposeResponse) -> Self:
        """A candidate's."""
        return cls(
            tuple(step.text for step in reply.steps),
            tuple(step.mean_logprob for step in reply.steps),
        )

    def distance(self, other: "Content") -> float:
        """The largest between two of their numbers; infinite where texts differ."""
        if self.texts != other.texts or len(self.numbers) != len(other.numbers):
            return math.inf
        pairs = zip(self.numbers, other.numbers, strict=True)
        return max((abs(one - another) for one, another in pairs), default=0.0)


@dataclass(frozen=True, slots=True)
class Claim:
    """A recorded content, what it was made from, and the version on its label."""

    question: bytes
    version: str
    content: Content


Truth = Mapping[str, Mapping[bytes, Content]]
"""What a fresh engine of each version makes of each question."""


def candidates(drawn: Iterable[Drawn]) -> list[Claim]:
    """The claims of a policy."""
    claims = []
    for one in drawn:
        sampling = policy_pb2.Sampling()
        sampling.CopyFrom(one.request.sampling)
        # Candidate `index` of a call is the first of one whose seed is so much further on.
        sampling.seed += one.index
        question = policy_pb2.ProposeRequest(
            search_id="bench",
            problem=one.request.problem,
            steps=one.request.steps,
            count=1,
            sampling=sampling,
        )
        label = one.reply.model_version
        claims.append(
            Claim(question.SerializeToString(deterministic=True), label, Content.of(one.reply))
        )
    return claims


def scores(scored: Iterable[Scored]) -> list[Claim]:
    """The claims of a PPM."""
    return [
        Claim(
            ppm_pb2.ScoreRequest(
                search_id="bench", problem=one.problem, solutions=[one.solution]
            ).SerializeToString(deterministic=True),
            one.version,
            Content((), (one.score.value,)),
        )
        for one in scored
    ]


async def learn_policy(
    store: Path, version: str, folder: Path, questions: Sequence[bytes]
) -> dict[bytes, Content]:
    """What a fresh policy of a version makes of each question."""
    turns = asyncio.Semaphore(_AT_ONCE)
    async with model_process("policy", store, version, folder / f"fresh-{version}") as (_, channel):
        stub = policy_pb2_grpc.PolicyServiceStub(channel)

        async def ask(question: bytes) -> Content:
            request = policy_pb2.ProposeRequest.FromString(question)
            async with turns:
                (reply,) = [one async for one in stub.Propose(request, timeout=CALL_SECONDS)]
            return Content.of(reply)

        made = await asyncio.gather(*map(ask, questions))
    return dict(zip(questions, made, strict=True))


async def learn_ppm(
    store: Path, version: str, folder: Path, questions: Sequence[bytes]
) -> dict[bytes, Content]:
    """What a fresh PPM of a version thinks of each question."""
    known: dict[bytes, Content] = {}
    state = folder / f"fresh-ppm-{version}"
    async with model_process("ppm", store, version, state) as (_, channel):
        stub = ppm_pb2_grpc.PpmServiceStub(channel)
        for first in range(0, len(questions), _BATCH):
            part = questions[first : first + _BATCH]
            request, *more = map(ppm_pb2.ScoreRequest.FromString, part)
            request.more.extend(more)
            reply = await stub.Score(request, timeout=CALL_SECONDS)
            made = (Content((), (score.value,)) for score in reply.scores)
            known |= zip(part, made, strict=True)
    return known


@dataclass(slots=True)
class Verdict:
    """What was found about the claims of one kind of model.

    Attributes:
        claims: as many were checked.
        by_version: claims of each label.
        lies: what a fresh engine of the version on the label does not make.
        undecided: claims that are true, but of which the other versions make the same.
        drift: largest distance of a number from the fresh engine's.
    """

    claims: int = 0
    by_version: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    lies: list[str] = field(default_factory=list)
    undecided: int = 0
    drift: float = 0.0

    def figures(self) -> dict[str, Any]:
        """For a report."""
        return {
            "checked": self.claims,
            "by_version": dict(self.by_version),
            "mislabelled": len(self.lies),
            "same_of_both": self.undecided,
            "largest_drift": round(self.drift, 6),
        }


def judge(claims: Iterable[Claim], truth: Truth) -> Verdict:
    """Hold claims against what fresh engines make."""
    verdict = Verdict()
    for claim in claims:
        verdict.claims += 1
        verdict.by_version[claim.version] += 1
        far = {
            version: claim.content.distance(known[claim.question])
            for version, known in truth.items()
        }
        own = far.pop(claim.version, math.inf)
        if own > TOLERANCE:
            makers = [version for version, distance in far.items() if distance <= TOLERANCE]
            verdict.lies.append(f"labelled {claim.version}, made by {makers}, {own:.4f} off")
            continue
        verdict.drift = max(verdict.drift, own)
        verdict.undecided += any(distance <= TOLERANCE for distance in far.values())
    return verdict


class StepBook:
    """Which numbers a fresh engine of each version gives to a step of a problem."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], list[float]] = defaultdict(list)

    def learn_policy(self, truth: Truth) -> None:
        """Take in the log-probabilities of all steps."""
        for version, made in truth.items():
            for question, content in made.items():
                problem = policy_pb2.ProposeRequest.FromString(question).problem
                for text, number in zip(content.texts, content.numbers, strict=True):
                    self._add(version, problem, text, number)

    def learn_ppm(self, truth: Truth) -> None:
        """Take in the scores of all steps."""
        for version, made in truth.items():
            for question, content in made.items():
                request = ppm_pb2.ScoreRequest.FromString(question)
                text = request.solutions[0].steps[-1].text
                self._add(version, request.problem, text, content.numbers[0])

    def holds(self, version: str, problem: str, node: Mapping[str, Any], number: float) -> bool:
        """Whether the version gives this number to the step of a node, as the REST API shows it."""
        key = (version, problem, node["text"], node["code"])
        return any(abs(one - number) <= TOLERANCE for one in self._known.get(key, ()))

    def _add(self, version: str, problem: str, text: str, number: float) -> None:
        # The tree shows a written answer as it is, and any other step as comment and code.
        for shown in {split_comment(text), (text, "")}:
            self._known[(version, problem, *shown)].append(number)
