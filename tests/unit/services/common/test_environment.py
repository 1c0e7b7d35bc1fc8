"""Settings that are refused, and variables that are none: what is said, and what never is."""

import os
import subprocess
import sys
from typing import Literal

import pytest
from pydantic import DirectoryPath, Field, SecretStr, ValidationError
from pydantic_settings import SettingsConfigDict

from services.common import environment
from services.common.inference.settings import ModelSettings
from services.common.settings import ServiceSettings
from services.policy.endpoint.settings import EndpointSettings
from services.policy.settings import PolicySettings
from services.ppm.settings import PpmSettings
from services.sandbox.settings import SandboxSettings
from services.search.settings import SearchSettings
from trainer.harvest.__main__ import WorkerSettings
from trainer.lab.solver import SolverSettings

SECRET = "hunter2-hunter2"


class Sample(ModelSettings):
    """A setting of every kind that a service has."""

    model_config = SettingsConfigDict(env_prefix="RSTAR_SAMPLE_")

    count: int = Field(1, ge=1, le=9)
    share: float = Field(0.5, gt=0, lt=1)
    mode: Literal["auto", "small"] = "auto"
    light: bool = True
    name: str = Field("x", min_length=1, max_length=8)
    folder: DirectoryPath | None = None
    key: SecretStr = Field(SecretStr("long enough"), min_length=9)


def said_of(**variables: str) -> list[str]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(f"RSTAR_SAMPLE_{name}".upper(), value)
        with pytest.raises(ValidationError) as refused:
            Sample()
    return environment.faults(Sample, refused.value)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("count", "0", "0 is below the minimum of 1"),
        ("count", "10", "10 is above the maximum of 9"),
        ("count", "abc", "abc is not a whole number"),
        ("count", "", "'' is not a whole number"),
        ("count", "1.5", "1.5 is not a whole number"),
        ("count", "4\n2", r"'4\n2' is not a whole number"),
        ("count", "9" * 5000, f"'{'9' * 80}...' has too many digits"),
        ("share", "0", "0 is not above 0.0"),
        ("share", "1", "1 is not below 1.0"),
        ("share", "half", "half is not a number"),
        ("mode", "large", "large is not one of 'auto' or 'small'"),
        ("light", "maybe", "maybe is neither true nor false"),
        ("folder", "/nowhere/at/all", "'/nowhere/at/all' is not a folder that is there"),
        ("name", "", "has fewer than the minimum of 1 characters"),
        ("name", SECRET, "has more than the maximum of 8 characters"),
    ],
)
def test_a_line_names_the_variable_the_fault_and_the_limit(
    name: str, value: str, said: str
) -> None:
    assert said_of(**{name: value}) == [f"RSTAR_SAMPLE_{name.upper()}: {said}"]


def test_every_bad_setting_has_its_line() -> None:
    lines = said_of(count="0", share="2", port="70000")
    assert sorted(line.partition(":")[0] for line in lines) == [
        "RSTAR_SAMPLE_COUNT",
        "RSTAR_SAMPLE_PORT",
        "RSTAR_SAMPLE_SHARE",
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("key", SECRET[:7]),
        ("redis_url", f"http://user:{SECRET}@host"),
        ("redis_url", f"redis://:{SECRET}"),
        ("redis_url", f"redis://host:6379/0?socket_timeout={SECRET}"),
        ("redis_url", f"redis+sentinel://:{SECRET}@host:26379"),
    ],
)
def test_what_may_be_secret_is_not_repeated(name: str, value: str) -> None:
    (line,) = said_of(**{name: value})
    assert line.startswith(f"RSTAR_SAMPLE_{name.upper()}: ")
    assert SECRET[:7] not in line


def test_settings_that_do_not_go_together_are_named() -> None:
    (line,) = said_of(tls_cert="/a.pem")
    assert line.startswith("RSTAR_SAMPLE_*: tls_cert and tls_key are given together")


@pytest.mark.parametrize(
    ("variable", "near"),
    [
        ("RSTAR_SANDBOX_WORKER", "RSTAR_SANDBOX_WORKERS"),
        ("RSTAR_SANDBOX_MAX_WAL_MS", "RSTAR_SANDBOX_MAX_WALL_MS"),
        ("RSTAR_SANDBOX_COLOUR", ""),
    ],
)
def test_a_variable_that_is_no_setting_is_found(variable: str, near: str) -> None:
    assert environment.unknown(SandboxSettings, {variable: "1", "PATH": "/bin"}) == {variable: near}


@pytest.mark.parametrize(
    ("kind", "variable"),
    [
        (SandboxSettings, "RSTAR_SANDBOX_WORKERS"),
        (SandboxSettings, "rstar_sandbox_workers"),
        (SandboxSettings, "RSTAR_SEARCH_NONSENSE"),
        # The command line's: where the service is.
        (SearchSettings, "RSTAR_SEARCH_TARGET"),
        # What Kubernetes adds for a Service that is called rstar-sandbox.
        (SandboxSettings, "RSTAR_SANDBOX_SERVICE_HOST"),
        (SandboxSettings, "RSTAR_SANDBOX_SERVICE_PORT_GRPC"),
        (SandboxSettings, "RSTAR_SANDBOX_PORT_50053_TCP_ADDR"),
    ],
)
def test_others_are_left_alone(kind: type[ServiceSettings], variable: str) -> None:
    assert environment.unknown(kind, {variable: "1"}) == {}


# Ends like the process itself, and then tells which heavy modules were imported for that.
_ENTRY = """
import runpy, sys
try:
    runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
finally:
    print([name for name in ("torch", "vllm", "transformers") if name in sys.modules])
"""


# What some of them cannot do without.
_NEEDED = {"FOLDER": ".", "URL": "http://127.0.0.1:1/v1", "MODEL": "m"}


@pytest.mark.parametrize(
    ("module", "settings", "field"),
    [
        ("services.sandbox", SandboxSettings, "workers"),
        ("services.search", SearchSettings, "max_searches"),
        ("services.policy", PolicySettings, "batch_sequences"),
        ("services.policy.endpoint", EndpointSettings, "max_requests"),
        ("services.ppm", PpmSettings, "batch_sequences"),
        ("trainer.harvest", WorkerSettings, "concurrency"),
        ("trainer.lab.solver", SolverSettings, "drain_seconds"),
    ],
)
def test_each_process_ends_with_a_line_before_it_loads_anything(
    module: str, settings: type[ServiceSettings], field: str
) -> None:
    prefix = settings.model_config["env_prefix"]
    variable = f"{prefix}{field}".upper()
    ended = subprocess.run(
        [sys.executable, "-c", _ENTRY, module],
        env={**os.environ, variable: "0", f"{prefix}REDIS_URL": "redis://:pw@127.0.0.1:1/0"}
        | {f"{prefix}{name}": value for name, value in _NEEDED.items()},
        capture_output=True,
        text=True,
        check=False,
    )
    limits = {"drain_seconds": "0 is not above 0.0"}
    assert ended.stderr == f"{variable}: {limits.get(field, '0 is below the minimum of 1')}\n"
    assert (ended.returncode, ended.stdout) == (environment.EXIT_REFUSED, "[]\n")
