"""What the API sends, as the client shows it. Fields that a newer service adds are passed over."""

from typing import Any

from pydantic import BaseModel


class Step(BaseModel):
    """One step of a solution: what it says, its code and output, and its worth (-1 to 1)."""

    text: str
    code: str
    output: str
    q: float
    visits: int
    ppm_score: float | None = None


class Alternative(BaseModel):
    """One of the answers found, with its share of the weight of all (0 to 1)."""

    answer: str
    weight: float
    trajectories: int


class Usage(BaseModel):
    """What a search has spent."""

    rollouts: int = 0
    nodes: int = 0
    policy_tokens: int = 0
    cut_tokens: int = 0
    ppm_calls: int = 0
    sandbox_runs: int = 0
    seconds: float = 0.0


class Models(BaseModel):
    """The model versions that a search used; no PPM in an unguided one."""

    policy: str
    ppm: str | None = None


class Progress(BaseModel):
    """A running search: its best answer so far and that answer's share of the weight (0 to 1)."""

    search_id: str
    answer: str | None = None
    confidence: float = 0.0
    usage: Usage = Usage()


class Solution(BaseModel):
    """The result of a search; `answer` is None where no solution was finished."""

    search_id: str
    answer: str | None = None
    confidence: float
    steps: list[Step]
    alternatives: list[Alternative]
    stop_reason: str
    usage: Usage
    models: Models
    guided: bool = False
    trace_id: str | None = None


class FieldError(BaseModel):
    """A field at fault and the limit that it breaks."""

    field: str
    limit: str


class Problem(BaseModel):
    """An error as the API sends it (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str = ""
    errors: list[FieldError] | None = None
    dependency: str | None = None
    trace_id: str | None = None


class Search(BaseModel):
    """A search at a glance.

    `status` is running, finished, failed or cancelled; times are unix seconds; `problem` is cut to
    its first 200 characters. `solution` and `error` are there where one search was asked for and
    has ended.
    """

    search_id: str
    status: str
    created: float
    ended: float | None = None
    problem: str
    method: str
    answer: str | None = None
    confidence: float = 0.0
    stop_reason: str | None = None
    usage: Usage = Usage()
    failure: str | None = None
    solution: Solution | None = None


class SearchPage(BaseModel):
    """Some searches, the newest first; `next` is the cursor of the page after it."""

    searches: list[Search]
    next: str | None = None


class Node(BaseModel):
    """A node of a search's tree: one step, and what the search knows about it."""

    id: str
    tree: int = 0
    parent: str | None = None
    depth: int
    text: str
    code: str
    output: str
    error: str
    outcome: str
    q: float
    visits: int
    ppm_score: float | None = None
    tokens: int = 0
    mean_logprob: float = 0.0
    answer: str | None = None
    best: bool = False


class Tree(BaseModel):
    """A search's tree as it stood after the log entry `event`."""

    search_id: str
    event: str
    nodes: list[Node]


class Event(BaseModel):
    """An entry of a search's log: `id`, `name` (started, trial, finished, failed) and its data."""

    id: str
    name: str
    data: dict[str, Any]


class ApiKey(BaseModel):
    """What the service shows of a key; limits of 0 are none, times are unix seconds."""

    id: str
    name: str
    scopes: list[str]
    requests_per_minute: int
    searches: int
    created: float
    expires: float | None = None
    last_used: float | None = None


class NewApiKey(ApiKey):
    """A key that was just made; `key` is shown this once."""

    key: str
