"""A node of the search tree: one reasoning step, and what the search knows about it."""

import hashlib
import math
from dataclasses import dataclass, field
from enum import StrEnum

ROOT_ID = "root"

# Values are summed as integers of this unit, so that sums do not depend on the order of arrival.
UNITS = 1_000_000


class Outcome(StrEnum):
    """What became of a step."""

    OPEN = "open"
    """It ran, and the solution goes on."""
    TERMINAL = "terminal"
    """It ran, and the solution ends here with an answer."""
    FAILED = "failed"
    """Its code failed, or it ended the solution without an answer; `error` says why."""
    LIMIT = "limit"
    """The solution became too long: too many steps, or a step cut at its token limit."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """A step that the policy proposed, with what the sandbox and the PPM said of it.

    Attributes:
        text: the step in canonical form (see services.common.steps.Step).
        outcome: what became of it.
        ends_code: whether it ends the code.
        tokens: new tokens that the policy spent on it.
        mean_logprob: mean natural-log probability of those tokens.
        output: what it printed.
        error: why it failed; empty otherwise.
        ppm_score: score of the solution up to here, -1 to 1; None without a PPM.
        answer: for a terminal step, the key of its class of equal answers.
        correct: for a terminal step, whether the answer is right; None where that is unknown.
        policy: version of the policy that proposed it; empty where that is unknown.
        ppm: version of the PPM that scored it; empty where none has.
    """

    text: str
    outcome: Outcome
    ends_code: bool = False
    tokens: int = 0
    mean_logprob: float = 0.0
    output: str = ""
    error: str = ""
    ppm_score: float | None = None
    answer: str | None = None
    correct: bool | None = None
    policy: str = ""
    ppm: str = ""


def child_id(parent_id: str, text: str, ends_code: bool) -> str:
    """The id of a step below a parent: 20 hex digits, a hash of the whole path's content.

    The same step after the same steps has the same id in every run and replica, so that merging
    does not depend on order and a sandbox snapshot can never be taken for another's.
    """
    content = f"{parent_id}\0{int(ends_code)}\0{text}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(content, digest_size=10).hexdigest()


@dataclass(slots=True, eq=False)
class Node:
    """A node; its path from the root is a partial solution.

    Attributes:
        id: see child_id.
        parent: None for the root.
        step: None for the root.
        depth: steps from the root.
        draws: candidates that the policy was asked for at this node.
        samples: times that the policy proposed this step at its parent.
        expanding: trials in flight that expand this node.
        closed: whether nothing at or below it can be explored any more.
        free: whether something at or below it can be expanded now.
        open_children: children that are not closed.
        free_children: children that are free.
        visits: N of UCT: rollouts backed up through here, plus one for an initial PPM value.
        in_flight: expected rollouts of trials that are under way through here.
        value_units: sum of the values backed up, in 1/UNITS.
        votes: rollouts through here by the answer that they reached.
        children: by id.
    """

    id: str
    parent: "Node | None" = None
    step: StepResult | None = None
    depth: int = 0
    draws: int = 0
    samples: int = 0
    expanding: int = 0
    # A new node is not counted by its parent until the tree has settled it.
    closed: bool = True
    free: bool = False
    open_children: int = 0
    free_children: int = 0
    visits: int = 0
    in_flight: int = 0
    value_units: int = 0
    votes: dict[str, int] = field(default_factory=dict)
    children: dict[str, "Node"] = field(default_factory=dict)

    @property
    def outcome(self) -> Outcome:
        """What became of the step; the root is open."""
        return self.step.outcome if self.step else Outcome.OPEN

    @property
    def awaits_answer(self) -> bool:
        """Whether the code has ended here, so that only a written answer can follow."""
        return self.step is not None and self.step.ends_code

    def path(self) -> list["Node"]:
        """The nodes from the root's child down to this one; empty for the root."""
        return self.ancestry()[-2::-1]

    def ancestry(self) -> list["Node"]:
        """This node and all above it, up to the root."""
        nodes = [self]
        while (above := nodes[-1].parent) is not None:
            nodes.append(above)
        return nodes

    def mark(self, *, closed: bool, free: bool) -> bool:
        """Note both, here and in the parent's counts; whether either has changed."""
        if closed is self.closed and free is self.free:
            return False
        if self.parent is not None:
            self.parent.open_children += self.closed - closed
            self.parent.free_children += free - self.free
        self.closed, self.free = closed, free
        return True


def likelihood(node: Node) -> float:
    """Mean natural-log probability of the tokens from the root to a node, at most 0."""
    steps = [above.step for above in node.path() if above.step is not None]
    tokens = sum(step.tokens for step in steps)
    if not tokens:
        return 0.0
    return sum(step.mean_logprob * step.tokens for step in steps) / tokens


def uct(q: float, visits: int, log_parent_visits: float, exploration: float) -> float:
    """UCT of a child (rStar-Math, equation 1): Q + c * sqrt(ln N_parent / N).

    Both counts include rollouts in flight (WU-UCT, arXiv 1810.11755), so that parallel trials
    spread. A child that was never visited comes first.
    """
    if visits == 0:
        return math.inf
    return q + exploration * math.sqrt(log_parent_visits / visits)
