"""Prometheus metrics of what a policy draws."""

from prometheus_client import Counter, Gauge

from services.policy.candidates import Candidate

IN_FLIGHT = Gauge("rstar_policy_in_flight_candidates", "Candidates that wait or are drawn.")
_CANDIDATES = Counter("rstar_policy_candidates_total", "Candidates drawn, by end.", ["finish"])
_TOKENS = Counter("rstar_policy_tokens_total", "New tokens of finished candidates.")


def count(candidate: Candidate) -> None:
    """Count a candidate that is finished."""
    _CANDIDATES.labels(candidate.finish.name.lower()).inc()
    _TOKENS.inc(candidate.tokens)
