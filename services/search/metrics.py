"""What the search service tells Prometheus."""

from prometheus_client import Counter, Gauge, Histogram

from services.search.store.events import Failed, Finished, TrialUsage

SEARCHES = Counter(
    "rstar_search_searches_ended_total",
    "Searches that ended in this process, by how and why; `failed` has the cause as its reason.",
    ["status", "stop_reason"],
)
BY_POLICY = Counter(
    "rstar_search_searches_by_policy_total",
    "Searches that ended with a result, by the policy versions they drew from, for comparing a "
    "version on trial with production.",
    ["policy", "stop_reason", "answered"],
)
CONFIDENCE = Histogram(
    "rstar_search_confidence",
    "Share of the weight of all answers that the chosen one has, by policy versions.",
    ["policy"],
    buckets=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
)
RUNNING = Gauge("rstar_search_searches_running", "Searches that this process holds.")
TOKENS = Counter("rstar_search_policy_tokens_total", "New tokens of the policy.")
NODES = Counter("rstar_search_nodes_total", "Nodes added to trees.")
ROLLOUTS = Counter("rstar_search_rollouts_total", "Rollouts done.")
SECONDS = Histogram(
    "rstar_search_search_seconds",
    "Seconds that searches took, those on other replicas among them.",
    buckets=(0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3600),
)
HTTP_SECONDS = Histogram(
    "rstar_search_http_request_seconds",
    "Time from an HTTP request to the end of its response, by route.",
    ["method", "route", "status"],
    buckets=(0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300),
)
ADOPTED = Counter(
    "rstar_search_searches_adopted_total", "Searches that were taken over from another replica."
)
PPM_CALLS = Counter("rstar_search_ppm_calls_total", "Partial solutions scored by the PPM.")
SANDBOX_RUNS = Counter("rstar_search_sandbox_runs_total", "Steps run in the sandbox.")
PHASE_SECONDS = Histogram(
    "rstar_search_trial_phase_seconds",
    "What trials spend their time on, waiting included: a candidate of the policy, a step in the "
    "sandbox, the scores of a candidate, the grading of an answer, the write of what came of it.",
    ["phase"],
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100),
)
POLICY_PHASE = PHASE_SECONDS.labels("policy")
SANDBOX_PHASE = PHASE_SECONDS.labels("sandbox")
PPM_PHASE = PHASE_SECONDS.labels("ppm")
GRADE_PHASE = PHASE_SECONDS.labels("grade")
LOG_PHASE = PHASE_SECONDS.labels("log")
IN_FLIGHT = Gauge(
    "rstar_search_dependency_in_flight",
    "Candidates, runs or scores that searches have in flight towards a dependency.",
    ["dependency"],
)
WAITING = Gauge(
    "rstar_search_dependency_waiting",
    "Calls that wait for their search's turn at a dependency.",
    ["dependency"],
)
CIRCUITS = Gauge(
    "rstar_search_circuits_open",
    "Replicas of a dependency whose circuit breaker is not closed.",
    ["dependency"],
)


def count_end(last: Finished | Failed) -> None:
    """Count a search whose last event was written here."""
    if isinstance(last, Failed):
        SEARCHES.labels("failed", last.cause).inc()
        return
    solution = last.solution
    status = "cancelled" if solution.stop_reason == "cancelled" else "finished"
    SEARCHES.labels(status, solution.stop_reason).inc()
    SECONDS.observe(solution.usage.seconds)


def count_trial(usage: TrialUsage) -> None:
    """Count what a trial of this process spent, whatever came of it."""
    TOKENS.inc(usage.policy_tokens)
    PPM_CALLS.inc(usage.ppm_calls)
    SANDBOX_RUNS.inc(usage.sandbox_runs)


def count_growth(nodes: int, rollouts: int) -> None:
    """Count what a trial added to the trees of a search."""
    NODES.inc(nodes)
    ROLLOUTS.inc(rollouts)
