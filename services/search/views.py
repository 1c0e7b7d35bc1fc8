"""What the APIs show of stored searches: summaries, trees, events."""

from typing import Literal

from pydantic import BaseModel, Field

from services.search.options import Budget, SearchOptions
from services.search.schemas import Problem, Progress, Solution, Usage
from services.search.store.summary import Summary

Status = Literal["running", "finished", "failed", "cancelled"]


class SearchView(BaseModel):
    """A search at a glance. Times are unix seconds."""

    search_id: str
    status: Status = Field(
        description="`cancelled`: ended by its caller's wish, with what was found by then."
    )
    created: float
    ended: float | None = Field(description="Null while it runs.")
    problem: str = Field(description="The first 200 characters of it.")
    method: str
    answer: str | None = Field(description="The best so far; null where there is none.")
    confidence: float = Field(description="The answer's share of the weight of all answers.")
    stop_reason: str | None = Field(description="Null while it runs, and where it failed.")
    usage: Usage = Field(description="As of the last trial.")
    failure: str | None = Field(description="What ended a search that failed.")
    key_id: str | None = Field(description="Id of the API key that began it, if any.")

    @classmethod
    def of(cls, summary: Summary) -> "SearchView":
        """The view of a summary."""
        return cls.model_validate(summary, from_attributes=True)


class SearchDetail(SearchView):
    """A search, with its solution where it has one."""

    solution: Solution | None = Field(
        None, description="Where it is finished or cancelled: the document of POST /solve."
    )


class SearchPage(BaseModel):
    """Some searches, the newest first."""

    searches: list[SearchView]
    next: str | None = Field(
        description="`cursor` of the page after this one; null on the last. A page that is "
        "filtered by status may hold fewer searches than its limit though more follow."
    )


class Accepted(BaseModel):
    """A search that was begun, or that the Idempotency-Key stood for already."""

    search_id: str
    location: str = Field(description="Path of the search, as in the Location header.")


class NodeSeconds(BaseModel):
    """Seconds that the search waited for a step, the wait for its turn included."""

    policy: float = Field(
        description="Until the policy had finished the candidate that the step came in."
    )
    sandbox: float = Field(description="Until the step had run; 0 where it was not run.")
    ppm: float = Field(
        description="Until the candidate's steps had their scores; 0 where the step has none."
    )


class NodeView(BaseModel):
    """A node of the tree: one step, and what the search knows about it."""

    id: str = Field(
        description="A hash of the steps from the root to it; `root` for the root. Unique within "
        "its `tree`."
    )
    tree: int = Field(0, description="Which of the search's trees, from 0.")
    parent: str | None = Field(description="Null for the root.")
    depth: int = Field(description="Steps from the root.")
    text: str = Field(description="The comment that opens the step, or an answer step's text.")
    code: str = Field(description="Its Python code; empty for an answer step.")
    output: str = Field(description="What it printed.")
    error: str = Field(description="Why it failed; empty otherwise.")
    outcome: Literal["open", "terminal", "failed", "limit"] = Field(
        description="open: the solution goes on; terminal: it ends here with an answer; failed; "
        "limit: it became too long."
    )
    q: float = Field(description="Q-value, -1 to 1.")
    visits: int
    ppm_score: float | None = Field(description="Null in an unguided search.")
    tokens: int = Field(description="New tokens that the policy spent on the step.")
    mean_logprob: float = Field(description="Mean natural-log probability of those tokens.")
    answer: str | None = Field(description="Of a terminal node: the class of equal answers.")
    policy: str = Field(
        "", description="Version of the policy that proposed it; empty where unknown."
    )
    ppm: str = Field("", description="Version of the PPM that scored it; empty where none has.")
    seconds: NodeSeconds | None = Field(
        None,
        description="What it took; null for the root, a step that another tree of the search had "
        "run before, and in logs of earlier releases.",
    )
    best: bool = Field(False, description="Whether it is on the best solution so far.")


class TreeView(BaseModel):
    """A search's tree as it stood after a log entry, parents before their children."""

    search_id: str
    event: str = Field(description="Id of that entry: follow on with `events?after=` it.")
    nodes: list[NodeView]


class NodeUpdate(BaseModel):
    """What a trial changed of a node."""

    id: str
    tree: int = 0
    visits: int
    q: float = Field(description="Q-value right after the trial.")
    value: float = Field(description="Sum of all values backed up, votes not counted.")
    votes: dict[str, int] = Field(description="Rollouts through it by the answer they reached.")


class StartedEvent(BaseModel):
    """Data of a `started` event: what was asked, defaults filled in."""

    search_id: str
    at: float
    problem: str
    budget: Budget
    search: SearchOptions
    seed: int
    ppm: str | None = Field(description="The PPM that guides it; null in an unguided search.")


class TrialEvent(BaseModel):
    """Data of a `trial` event: what one expansion brought."""

    search_id: str
    at: float
    trial: int
    rollout: int
    node_id: str = Field(description="The node that was expanded.")
    tree: int = 0
    nodes: list[NodeView] = Field(description="The nodes that it added, parents first.")
    updates: list[NodeUpdate] = Field(
        description="The nodes that it touched, the root first; all others kept visits, value and "
        "votes. In a consistency-guided search (`guided` false) the q of untouched nodes moves "
        "with the root's votes R: q = (value - sum(v) + 2 * sum(v[a] * R[a]) / sum(R)) / visits."
    )
    best: list[str] = Field(description="Ids of the best solution so far, its first step first.")
    best_tree: int = Field(0, description="The tree that it stands in.")
    progress: Progress


class FinishedEvent(BaseModel):
    """Data of a `finished` event."""

    search_id: str
    at: float
    solution: Solution


class FailedEvent(BaseModel):
    """Data of a `failed` event."""

    search_id: str
    at: float
    error: Problem
