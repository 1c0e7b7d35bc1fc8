"""Settings of the sandbox service."""

import os
from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.common.metrics import MetricsSettings
from services.sandbox import wire


def _cores() -> int:
    return len(os.sched_getaffinity(0))


class SandboxSettings(MetricsSettings):
    """Limits of the sandbox; environment variables RSTAR_SANDBOX_*."""

    model_config = SettingsConfigDict(env_prefix="RSTAR_SANDBOX_")

    port: int = Field(50053, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    workers: int = Field(
        default_factory=_cores, ge=1, le=1024, description="Steps that run at once."
    )
    max_queue: int = Field(
        256, ge=1, le=65536, description="Steps that may wait before calls are refused."
    )
    max_sessions: int = Field(256, ge=1, le=65536, description="Sessions open at once.")
    session_idle_seconds: float = Field(
        900.0, gt=0, le=86400, description="A session unused for so long is closed."
    )
    max_wall_ms: int = Field(
        10_000, ge=10, le=600_000, description="Longest wall-clock time of a step."
    )
    max_memory_mib: int = Field(
        512, ge=16, le=65536, description="Most memory of a step beyond the interpreter's own."
    )
    max_output_bytes: int = Field(
        16 * 1024, ge=64, le=wire.MAX_TEXT_BYTES, description="Most captured output of a step."
    )
    max_code_bytes: int = Field(
        64 * 1024, ge=64, le=wire.MAX_TEXT_BYTES, description="Longest code of a step."
    )
    max_ancestors: int = Field(64, ge=1, le=1024, description="Most steps before a step.")
    mode: Literal["auto", "fork-replay"] = Field(
        "auto", description="auto: the fork tree where the kernel allows it, else replay."
    )
    light: bool = Field(
        True,
        description="Whether steps that need only the standard library run in small interpreters.",
    )
    max_snapshots_mib: int = Field(
        2048, ge=16, le=2**20, description="Memory of all interpreter states that are kept."
    )
    max_session_snapshots_mib: int = Field(
        512, ge=16, le=2**20, description="Memory of one session's kept interpreter states."
    )
    max_snapshots: int = Field(
        512, ge=1, le=65536, description="Interpreter states that are kept, each a process."
    )
    require: Literal["any", "full"] = Field(
        "any",
        description="full: refuse to start where the kernel lacks a part of the isolation.",
    )
