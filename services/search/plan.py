"""What a search was asked for, settled at its start; pure."""

from dataclasses import dataclass

from services.common.models.manifest import Kind
from services.search.answer import AnswerRule
from services.search.budget import Ledger
from services.search.forest import ForestConfig
from services.search.methods.presets import PRESETS, Method
from services.search.schemas import SolveRequest
from services.search.tree import Expansion, Guidance, TreeConfig

# What part of the most that it may take a candidate is expected to take, before any is known.
_EXPECTED_PART = {Expansion.TRAJECTORY: 1 / 4, Expansion.STEP: 1 / 16}


@dataclass(frozen=True, slots=True)
class Plan:
    """What a search was asked for, settled at its start.

    Attributes:
        search_id: its id.
        request: the request, defaults filled in.
        config: the shape of its trees.
        seed: seed of all sampling.
        ppm: version of the PPM that guides it from its start; None in an unguided search.
        policy: version of the policy that it draws from; empty for whichever is served.
        candidate_tokens: most new tokens of one candidate.
        stall_seconds: how long trials may fail, without one that succeeds, for want of a
            dependency before the search is given up.
    """

    search_id: str
    request: SolveRequest
    config: ForestConfig
    seed: int
    ppm: str | None
    candidate_tokens: int
    stall_seconds: float
    policy: str = ""

    @property
    def pinned(self) -> bool:
        """Whether it ends where a version that it began with is gone."""
        return self.request.search.versions == "pinned"

    def pinned_models(self) -> list[tuple[Kind, str]]:
        """The versions that it must go on with."""
        if not self.pinned:
            return []
        named: list[tuple[Kind, str]] = [("policy", self.policy), ("ppm", self.ppm or "")]
        return [(kind, version) for kind, version in named if version]

    def ledger(self, begun: float) -> Ledger:
        """Its budgets, for a search that began at this monotonic time."""
        budget = self.request.budget
        samples = PRESETS[self.config.method].samples
        part = _EXPECTED_PART[self.config.tree.expansion]
        return Ledger(
            rungs=budget.rungs if samples is None else (samples,),
            tokens=budget.tokens,
            deadline=begun + budget.seconds,
            expected_tokens=self.candidate_tokens * part,
        )


def forest_config(request: SolveRequest, ppm: str | None) -> ForestConfig:
    """The shape of the trees of a request, guided by a PPM or by none."""
    options = request.search
    guidance = Guidance.CONSISTENCY if ppm is None else Guidance.PPM
    if request.ground_truth is not None:
        guidance = Guidance.GROUND_TRUTH
    return ForestConfig(
        tree=TreeConfig(
            candidates=options.candidates,
            depth=options.depth,
            exploration=options.exploration,
            expansion=Expansion(options.expansion),
            guidance=guidance,
        ),
        method=Method(options.method),
        answer=AnswerRule(options.answer),
        trees=options.trees,
        beam_width=options.beam_width,
        guided=ppm is not None,
    )
