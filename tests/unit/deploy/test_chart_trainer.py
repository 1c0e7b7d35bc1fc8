"""Jobs of the trainer."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rstar.main import app
from tests.unit.deploy.conftest import Object, Render, named, of_kind, pods
from tests.unit.deploy.test_chart import TRAINED
from trainer.evaluation.service import KEY_VARIABLE, TLS_VARIABLES
from trainer.harvest.__main__ import WorkerSettings
from trainer.rounds.config import load


def jobs(objects: list[Object]) -> dict[str, Object]:
    """Jobs by their names without the hash."""
    found = of_kind(objects, "Job", "CronJob", "ScaledJob", "TrainingRuntime", "TrainJob")
    return {f"{one['kind']} {one['metadata']['name'].rpartition('-')[0]}": one for one in found}


def container(template: Object) -> dict[str, Any]:
    (one,) = template["spec"]["containers"]
    return one


def test_a_harvest_is_fed_by_one_and_worked_by_many(render: Render) -> None:
    found = jobs(render(**TRAINED))
    feed = container(found["Job r-feed-r2"]["spec"]["template"])
    assert feed["command"][:5] == [
        "rstar",
        "harvest",
        "/data/p.jsonl",
        "--out",
        "/data/harvests/r2",
    ]
    assert feed["command"][-2:] == ["--round", "2"]
    assert feed["command"][feed["command"].index("--workers") + 1] == "0"
    work = found["Job r-work-r2"]["spec"]
    assert work["parallelism"] == 4
    # A number of completions would start workers again when all is done.
    assert "completions" not in work
    wait = work["template"]["spec"]["initContainers"][0]["command"][-1]
    assert "/data/harvests/r2/run.json" in wait


def test_keda_counts_what_is_left_in_the_queue_that_the_feeder_feeds(render: Render) -> None:
    found = jobs(render(**TRAINED))
    feed = container(found["Job r-feed-r3"]["spec"]["template"])["command"]
    name = feed[feed.index("--name") + 1]
    scaled = found["ScaledJob r-work-r3"]["spec"]
    (trigger,) = scaled["triggers"]
    assert trigger["metadata"]["stream"] == f"rstar:harvest:{{{name}}}:work"
    assert trigger["metadata"]["address"] == "r-redis.n:6379"
    assert scaled["maxReplicaCount"] == 9


def test_commands_of_the_jobs_are_those_of_the_command_line(render: Render) -> None:
    feed = container(jobs(render(**TRAINED))["Job r-feed-r2"]["spec"]["template"])["command"]
    # Everything is understood: what it stumbles over is the file, which is not here.
    done = CliRunner().invoke(app, feed[1:])
    assert done.exit_code == 2
    assert "p.jsonl" in done.output


def test_variables_of_the_jobs_are_read_by_somebody(render: Render) -> None:
    known = {f"RSTAR_HARVEST_{field}".upper() for field in WorkerSettings.model_fields}
    known |= {KEY_VARIABLE, *TLS_VARIABLES, "RSTAR_SEARCH_TARGET", "RSTAR_STORE", "RSTAR_HOME"}
    known.add("RSTAR_SEARCH_REDIS_URL")
    seen: set[str] = set()
    for objects in (
        render(**TRAINED),
        render(**TRAINED, tls__enabled=True, tls__existingSecret="m"),
    ):
        for _, template in pods(of_kind(objects, "Job", "CronJob")):
            seen |= {one["name"] for one in container(template)["env"]}
    assert seen - {"HOME"} <= known
    assert {KEY_VARIABLE, *TLS_VARIABLES, "RSTAR_HARVEST_FOLDER"} <= seen


def test_a_training_of_several_nodes_finds_its_first(render: Render) -> None:
    objects = render(**TRAINED)
    job = jobs(objects)["Job r-train-policy"]
    name, spec = job["metadata"]["name"], job["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 2, 2)
    one = container(spec["template"])
    assert one["command"][one["command"].index("--rdzv-endpoint") + 1] == f"{name}-0.{name}:29500"
    assert one["command"][one["command"].index("--nproc-per-node") + 1] == "8"
    assert one["resources"]["limits"]["nvidia.com/gpu"] == "8"
    assert one["image"].endswith("-gpu")
    assert spec["template"]["spec"]["subdomain"] == name
    service = named(objects, "Service", name)["spec"]
    assert service["selector"].items() <= spec["template"]["metadata"]["labels"].items()
    assert service["publishNotReadyAddresses"] is True
    config = named(objects, "ConfigMap", name)["data"]["config.json"]
    assert json.loads(config) == {"sharding": "fsdp"}


def test_kubeflow_gets_the_same_pod(render: Render) -> None:
    found = jobs(render(**TRAINED))
    runtime, job = found["TrainingRuntime r-train-ppm"], found["TrainJob r-train-ppm"]
    assert job["spec"]["runtimeRef"]["name"] == runtime["metadata"]["name"]
    assert job["spec"]["trainer"] == {"numProcPerNode": 1}
    (replicated,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    one = container(replicated["template"]["spec"]["template"])
    # The name and the command by which the operator knows where to put torchrun's variables.
    assert one["name"] == replicated["name"] == "node"
    assert one["command"][:3] == ["torchrun", "-m", "trainer.training.ppm"]


def test_rounds_are_never_run_twice_at_once(render: Render) -> None:
    cron = jobs(render(**TRAINED))["CronJob r-evolve-rounds"]["spec"]
    assert cron["concurrencyPolicy"] == "Forbid"
    assert cron["schedule"] == "0 3 * * 6"
    once = {**TRAINED["trainer__evolution"], "schedule": ""}  # type: ignore[dict-item]
    assert "Job r-evolve-rounds" in jobs(render(**{**TRAINED, "trainer__evolution": once}))


def test_rounds_are_told_where_the_services_are(
    render: Render, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {
        "name": "gsm8k",
        "folder": "/data/evolution",
        "base": "qwen2.5-coder-0.5b",
        "bootstrap": {"model": "qwen2.5-coder-0.5b"},
        "harvest": {"problems": {"file": "/data/train.jsonl"}},
        "evaluation": {"problems": {"file": "/data/test.jsonl"}},
        "rounds": [{"guidance": "answer"}],
    }
    objects = render(trainer__evolution={"enabled": True, "config": config})
    (made,) = of_kind(objects, "ConfigMap")
    file = tmp_path / "config.json"
    file.write_text(made["data"]["config.json"])
    monkeypatch.setenv("RSTAR_HARVEST_REDIS_URL", "redis://:secret@r-redis:6379/0")
    services = load(file).services
    assert services.redis_url == "redis://:secret@r-redis:6379/0"
    assert "secret" not in file.read_text()
    named(objects, "Service", services.search.removeprefix("dns:///").partition(":")[0])


def test_other_values_make_other_jobs(render: Render) -> None:
    def name(workers: int) -> str:
        runs = {"a": {"problems": "b/c", "workers": workers}}
        made = of_kind(render(trainer__harvest__runs=runs), "Job")
        return next(o["metadata"]["name"] for o in made if "-work-" in o["metadata"]["name"])

    assert name(2) != name(3)
    assert name(2) == name(2)


def test_names_of_jobs_fit_into_labels(render: Render) -> None:
    runs = {"sixteen-letters1": {"problems": "a/b"}}
    trainings = {"sixteen-letters1": {"nodes": 2}}
    objects = render(
        trainer__harvest__runs=runs,
        trainer__training__runs=trainings,
        fullnameOverride="a" * 60,
    )
    assert all(len(o["metadata"]["name"]) <= 63 for o in objects if o["kind"] != "NetworkPolicy")
    assert all(len(o["metadata"]["name"]) <= 57 for o in of_kind(objects, "Job"))
