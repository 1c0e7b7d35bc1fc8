"""Write Grafana's dashboards from the lists of panels in this file.

`--check` changes nothing and fails where a file is not what it would write.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = (
    Path(__file__).resolve().parent.parent
    / "deploy"
    / "helm"
    / "rstar"
    / "monitoring"
    / "dashboards"
)
WIDTH, HEIGHT = 8, 8


@dataclass(frozen=True, slots=True)
class Panel:
    """A chart of series over time.

    Attributes:
        title: what is shown.
        unit: Grafana's name of it.
        series: PromQL by legend; a legend may name labels as `{{label}}`.
    """

    title: str
    unit: str
    series: dict[str, str]


def _rate(metric: str, *by: str) -> str:
    group = f" by ({', '.join(by)})" if by else ""
    return f"sum{group} (rate({metric}[$__rate_interval]))"


def _quantiles(histogram: str, *by: str) -> dict[str, str]:
    labels = " ".join(f"{{{{{label}}}}}" for label in by)
    buckets = _rate(f"{histogram}_bucket", "le", *by)
    return {f"p{q} {labels}".strip(): f"histogram_quantile(0.{q}, {buckets})" for q in (50, 90, 99)}


def _share(part: str, whole: str) -> str:
    return f"{_rate(part)} / {_rate(whole)}"


_NODES = Panel("Nodes", "ops", {"nodes": _rate("rstar_search_nodes_total")})
_TOKENS = Panel("Policy tokens", "ops", {"tokens": _rate("rstar_search_policy_tokens_total")})
_RUNNING = Panel("Searches running", "short", {"{{instance}}": "rstar_search_searches_running"})
_ENDED = Panel(
    "Searches ended by reason",
    "ops",
    {
        "{{status}} {{stop_reason}}": _rate(
            "rstar_search_searches_ended_total", "status", "stop_reason"
        )
    },
)
_VERSIONS = Panel(
    "Versions served",
    "short",
    {
        "policy {{version}} {{role}}": "sum by (version, role) (rstar_policy_model_info)",
        "PPM {{version}} {{role}}": "sum by (version, role) (rstar_ppm_model_info)",
    },
)
_PREFIX = Panel(
    "Prefix cache hits",
    "percentunit",
    {
        "{{job}}": "sum by (job) (rate(vllm:prefix_cache_hits_total[$__rate_interval]))"
        " / sum by (job) (rate(vllm:prefix_cache_queries_total[$__rate_interval]))"
    },
)
_PHASES = Panel(
    "Waits at once, by phase",
    "short",
    {"{{phase}}": _rate("rstar_search_trial_phase_seconds_sum", "phase")},
)
_STEPS = Panel(
    "Steps by status", "ops", {"{{status}}": _rate("rstar_sandbox_runs_total", "status")}
)

DASHBOARDS: dict[str, tuple[Panel, ...]] = {
    "overview": (
        _RUNNING,
        _ENDED,
        Panel("Seconds of a search", "s", _quantiles("rstar_search_search_seconds")),
        _PHASES,
        _NODES,
        _TOKENS,
        Panel(
            "Requests by status",
            "ops",
            {"{{status}}": _rate("rstar_search_http_request_seconds_count", "status")},
        ),
        _VERSIONS,
        _PREFIX,
        _STEPS,
    ),
    "search": (
        _RUNNING,
        _ENDED,
        Panel("Taken over", "ops", {"searches": _rate("rstar_search_searches_adopted_total")}),
        _NODES,
        _TOKENS,
        Panel("Rollouts", "ops", {"rollouts": _rate("rstar_search_rollouts_total")}),
        Panel(
            "In flight",
            "short",
            {"{{dependency}}": "sum by (dependency) (rstar_search_dependency_in_flight)"},
        ),
        Panel(
            "Waiting for their turn",
            "short",
            {"{{dependency}}": "sum by (dependency) (rstar_search_dependency_waiting)"},
        ),
        Panel(
            "Circuits not closed",
            "short",
            {"{{dependency}}": "sum by (dependency) (rstar_search_circuits_open)"},
        ),
        Panel(
            "Mean confidence by policy",
            "percentunit",
            {
                "{{policy}}": _rate("rstar_search_confidence_sum", "policy")
                + " / "
                + _rate("rstar_search_confidence_count", "policy")
            },
        ),
        Panel(
            "Answered by policy",
            "ops",
            {
                "{{policy}} {{answered}}": _rate(
                    "rstar_search_searches_by_policy_total", "policy", "answered"
                )
            },
        ),
        _PHASES,
        Panel("Seconds of a phase", "s", _quantiles("rstar_search_trial_phase_seconds", "phase")),
        Panel(
            "Seconds of a request",
            "s",
            _quantiles("rstar_search_http_request_seconds", "route"),
        ),
    ),
    "models": (
        _VERSIONS,
        Panel(
            "Reloads",
            "ops",
            {
                "policy {{how}}": _rate("rstar_policy_reloads_total", "how"),
                "PPM {{how}}": _rate("rstar_ppm_reloads_total", "how"),
                "policy failed": _rate("rstar_policy_reload_failures_total"),
                "PPM failed": _rate("rstar_ppm_reload_failures_total"),
            },
        ),
        Panel(
            "Pause of a reload",
            "s",
            {
                f"{name} {legend}": query
                for name, service in (("policy", "policy"), ("PPM", "ppm"))
                for legend, query in _quantiles(f"rstar_{service}_reload_pause_seconds").items()
            },
        ),
        _PREFIX,
        Panel(
            "Engine: running and waiting",
            "short",
            {
                "{{job}} running": "sum by (job) (vllm:num_requests_running)",
                "{{job}} waiting": "sum by (job) (vllm:num_requests_waiting)",
            },
        ),
        Panel(
            "Engine: new tokens", "ops", {"{{job}}": _rate("vllm:generation_tokens_total", "job")}
        ),
        Panel("Solutions in a batch of the PPM", "short", _quantiles("rstar_ppm_batch_solutions")),
        Panel(
            "In flight",
            "short",
            {
                "candidates": "sum(rstar_policy_in_flight_candidates)",
                "solutions": "sum(rstar_ppm_in_flight_solutions)",
            },
        ),
        Panel(
            "KV cache in use", "percentunit", {"{{job}}": "max by (job) (vllm:kv_cache_usage_perc)"}
        ),
    ),
    "sandbox": (
        _STEPS,
        Panel("Mode", "short", {"{{mode}}": "sum by (mode) (rstar_sandbox_mode_info)"}),
        Panel("Waiting steps", "short", {"{{instance}}": "rstar_sandbox_queue_steps"}),
        *(
            Panel(f"Seconds: {part}", "s", _quantiles(f"rstar_sandbox_{part}_seconds"))
            for part in ("queue", "fork", "run")
        ),
        Panel(
            "Forks, replays, evictions, moves",
            "ops",
            {
                "forks": _rate("rstar_sandbox_forks_total"),
                "replays": _rate("rstar_sandbox_replayed_steps_total"),
                "evictions": _rate("rstar_sandbox_evictions_total"),
                "moves": _rate("rstar_sandbox_moves_total"),
                "refused": _rate("rstar_sandbox_refused_total"),
                "zygotes restarted": _rate("rstar_sandbox_zygote_restarts_total"),
            },
        ),
        Panel(
            "Kept states",
            "short",
            {
                "states": "sum(rstar_sandbox_snapshots)",
                "sessions": "sum(rstar_sandbox_sessions)",
            },
        ),
        Panel("Memory of kept states", "bytes", {"{{instance}}": "rstar_sandbox_snapshots_bytes"}),
    ),
}


def dashboard(name: str, panels: tuple[Panel, ...]) -> dict[str, Any]:
    """What Grafana imports."""
    return {
        "uid": f"rstar-{name}",
        "title": f"rStar-Math: {name}",
        "tags": ["rstar"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [
                {
                    "name": "source",
                    "label": "Prometheus",
                    "type": "datasource",
                    "query": "prometheus",
                }
            ]
        },
        "panels": [_panel(number, panel) for number, panel in enumerate(panels)],
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${source}"}
    per_row = 24 // WIDTH
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "datasource": source,
        "gridPos": {
            "x": number % per_row * WIDTH,
            "y": number // per_row * HEIGHT,
            "w": WIDTH,
            "h": HEIGHT,
        },
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + i),
                "datasource": source,
                "expr": query,
                "legendFormat": legend,
            }
            for i, (legend, query) in enumerate(panel.series.items())
        ],
    }


def main() -> None:
    """Write them, or compare."""
    stale = []
    for name, panels in DASHBOARDS.items():
        file = FOLDER / f"{name}.json"
        text = json.dumps(dashboard(name, panels), indent=2) + "\n"
        if "--check" not in sys.argv[1:]:
            file.write_text(text, "utf-8")
        elif not file.exists() or file.read_text("utf-8") != text:
            stale.append(file.name)
    if stale:
        sys.exit(f"run scripts/dashboards.py: {', '.join(stale)}")


if __name__ == "__main__":
    main()
