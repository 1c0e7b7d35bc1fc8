"""What the search service tells Prometheus."""

from prometheus_client import Counter, Gauge, Histogram

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
    "Time from a search's start here to its end here.",
    buckets=(0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3600),
)
HTTP_SECONDS = Histogram(
    "rstar_search_http_request_seconds",
    "Time from an HTTP request to the end of its response, by route.",
    ["method", "route", "status"],
    buckets=(0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300),
)
REFUSED = Counter(
    "rstar_search_requests_refused_total", "Requests that were turned away, by status.", ["status"]
)
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
