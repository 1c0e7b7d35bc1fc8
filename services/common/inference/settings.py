"""Settings of a service that serves a model of the store: which one, and how it is exchanged."""

from pathlib import Path

from pydantic import Field, SecretStr

from services.common.inference.arguments import EngineSettings
from services.common.redis_url import RedisUrl


class ModelSettings(EngineSettings):
    """Where models come from, and what happens when another one is to be served."""

    store: str | None = Field(
        None,
        description="The model store: a folder, or a URL such as s3://bucket/models; unset for the "
        "user's own.",
    )
    store_cache: Path | None = Field(
        None, description="Folder for versions of a remote store; unset for one in RSTAR_HOME."
    )
    state: Path | None = Field(
        None,
        description="Folder in which the service keeps which version it served last; unset for one "
        "in RSTAR_HOME.",
    )
    poll_seconds: float = Field(
        10.0, gt=0, le=3600, description="How often the alias that `model` names is looked at."
    )
    redis_url: RedisUrl = Field(
        "",
        description="Redis through which `rstar models` says that an alias has moved, so that the "
        "service looks at once; empty to poll only.",
    )
    swap_seconds: float = Field(
        1.0,
        ge=0,
        le=3600,
        description="How long an exchange waits for what is in flight; what has not ended then is "
        "begun again on the new model, or ends where it is pinned to the old one.",
    )
    second_engine: bool = Field(
        False,
        description="Where weights cannot be exchanged in place: start the new engine beside the "
        "old one, which needs the memory of both, rather than after it has stopped.",
    )
    admin_token: SecretStr = Field(
        SecretStr(""),
        description="What callers of Load show as `authorization: Bearer ...`; empty refuses all.",
    )
