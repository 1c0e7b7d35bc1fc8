"""What `rstar top` shows."""

import pytest
from rich.console import Console, RenderableType

from rstar.client import Search
from rstar.top import Reading, dependencies, parse, rates, running, services

TEXT = """\
# TYPE rstar_sandbox_runs_total counter
rstar_sandbox_runs_total{status="ok"} 30
rstar_sandbox_runs_total{status="error"} 10
# TYPE rstar_policy_model_info gauge
rstar_policy_model_info{version="qwen@2",role="main"} 1
rstar_policy_model_info{version="qwen@3",role="beside"} 1
rstar_policy_model_info{version="qwen@1",role="main"} 0
"""


def shown(what: RenderableType) -> str:
    console = Console(width=160, record=True, file=None, force_terminal=False)
    with console.capture() as capture:
        console.print(what)
    return capture.get()


def test_labels_are_summed_and_versions_named() -> None:
    reading = parse(TEXT, 1.0)
    assert reading.totals["rstar_sandbox_runs_total"] == 40
    assert reading.versions == ("qwen@2 (main)", "qwen@3 (beside)")


@pytest.mark.parametrize(
    ("before", "now", "rate"), [(10.0, 40.0, 15.0), (100.0, 40.0, 20.0), (40.0, 40.0, 0.0)]
)
def test_rates_outlive_a_restart(before: float, now: float, rate: float) -> None:
    name = "rstar_sandbox_runs_total"
    assert rates(Reading(1.0, {name: before}), Reading(3.0, {name: now})) == {"steps/s": rate}


def test_there_is_no_rate_without_two_readings() -> None:
    now = parse(TEXT, 3.0)
    assert rates(None, now) == {}
    assert rates(Reading(1.0, fault="refused"), now) == {}
    assert rates(now, now) == {}


def test_a_service_that_is_down_says_why() -> None:
    text = shown(
        services({}, {"http://a:1": Reading(1.0, fault="refused"), "http://b:2": parse(TEXT, 1)})
    )
    assert "refused" in text
    assert "qwen@3 (beside)" in text


def test_dependencies_show_open_circuits() -> None:
    ready = {"ready": True, "detail": "", "circuits": {"p:1": "open", "p:2": "closed"}}
    text = shown(dependencies({"policy": ready, "ppm": {"ready": False, "detail": "no route"}}))
    assert "p:1: open" in text
    assert "p:2" not in text
    assert "no route" in text


def test_a_problem_cannot_steer_the_terminal() -> None:
    one = Search(
        search_id="s1", status="running", created=90.0, problem="\x1b[2J[red]2\n+ 2", method="mcts"
    )
    text = shown(running([one], 100.0))
    assert "10 s" in text
    assert "\x1b" not in text
    assert "[red]2 + 2" in text
