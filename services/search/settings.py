"""Settings of the search service: environment variables RSTAR_SEARCH_<FIELD>."""

from ipaddress import ip_address
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import DirectoryPath, Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from services.common.redis_url import RedisUrl
from services.common.settings import ServiceSettings
from services.common.tls import ClientTls

_KEY_CHARS = 32


class BadSettings(ValueError):  # noqa: N818 - names what is at fault
    """Settings that the service cannot start with."""


class SearchSettings(ServiceSettings):
    """Where its dependencies are, and what it allows."""

    model_config = SettingsConfigDict(env_prefix="RSTAR_SEARCH_")
    # RSTAR_SEARCH_TARGET tells the command line where this service is.
    of_others: ClassVar = frozenset({"target"})

    port: int = Field(8000, ge=0, le=65535, description="Port of the REST API; 0 takes a free one.")
    grpc_port: int = Field(50050, ge=0, le=65535, description="Port of the gRPC SearchService.")
    redis_url: RedisUrl = Field(
        "redis://127.0.0.1:6379/0",
        description="Redis, as redis://, rediss:// or unix:// URL; a cluster, by the address of "
        "any of its nodes, as redis+cluster:// or rediss+cluster://; the master that "
        "Sentinels know, as redis+sentinel://a:26379,b:26379/NAME/0.",
    )
    policy_target: str = Field(
        "127.0.0.1:50051",
        min_length=1,
        description="The policy: host:port, several with commas between (each a replica), or "
        "dns:///host:port, whose addresses are the replicas.",
    )
    ppm_target: str = Field("127.0.0.1:50052", description="The PPM, likewise; empty for none.")
    canary_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of the searches that draw from a version on trial, 0 to 1; which ones "
        "follows from their ids. Compare them by rstar_search_searches_by_policy_total.",
    )
    canary_version: str = Field(
        "",
        max_length=100,
        description="The version on trial; empty for the first that the policy serves beside its "
        "model. One that is served no more makes way for the model.",
    )
    sandbox_target: str = Field(
        "127.0.0.1:50053", min_length=1, description="The sandbox, likewise."
    )

    max_searches: int = Field(
        64, ge=1, le=10_000, description="Searches at once; further ones get 429."
    )
    max_body_bytes: int = Field(
        1_048_576, ge=1024, description="Largest request body, in bytes; larger ones get 413."
    )
    dependency_timeout_seconds: float = Field(
        2.0, gt=0, le=60, description="How long a dependency may take to say that it is ready."
    )
    patience_seconds: float = Field(
        1.0,
        ge=0,
        le=600,
        description="How long a running search retries a dependency that refuses connections.",
    )
    stall_seconds: float = Field(
        60.0,
        gt=0,
        le=3600,
        description="How long a dependency may fail a running search, Redis its log included, "
        "before the search is given up.",
    )
    lease_seconds: float = Field(
        5.0,
        ge=0.5,
        le=300,
        description="How long a replica that falls silent keeps its searches; then others take "
        "them.",
    )
    adoption_seconds: float = Field(
        1.0, gt=0, le=60, description="Time between looks for searches that nobody holds."
    )
    max_adoptions: int = Field(
        3,
        ge=1,
        le=100,
        description="How often a search may be taken over without logging a trial in between; "
        "then it is ended as failed, lest it takes one replica after the other with it.",
    )
    idempotency_seconds: int = Field(
        24 * 3600, ge=60, description="How long an Idempotency-Key stands for its search."
    )
    retention_seconds: int = Field(
        7 * 24 * 3600, ge=60, description="How long the log of a finished search is kept."
    )
    candidate_tokens: int = Field(
        512, ge=16, le=32_768, description="Most new tokens of one candidate."
    )
    step_seconds: float = Field(
        5.0, gt=0, le=60, description="Most wall-clock time of one step in the sandbox."
    )
    grader_workers: int = Field(
        1, ge=1, le=64, description="Processes that compare answers symbolically."
    )

    reports: DirectoryPath | None = Field(
        None,
        description="Folder of the trainer's reports, linked from the page; whoever reaches the "
        "service can read them, with or without a key.",
    )
    auth: Literal["off", "keys"] = Field(
        "off", description="Whether callers must show an API key, over REST and gRPC."
    )
    allow_public_without_auth: bool = Field(
        False,
        description="Whether to start without API keys on an address that other machines reach, "
        "for example behind a gateway that asks for its own.",
    )
    admin_key: SecretStr | None = Field(
        None, description="A key with every scope, to make the first API key with."
    )
    admin_key_file: Path | None = Field(None, description="A file that holds it instead.")
    key_requests_per_minute: int = Field(
        600, ge=0, le=1_000_000, description="Rate of a new API key, unless it asks; 0: no limit."
    )
    key_searches: int = Field(
        16, ge=0, le=10_000, description="Searches at once of a new API key; 0: no limit."
    )
    max_memory_bytes: int = Field(
        0,
        ge=0,
        description="Memory that this process may take; 0: the limit of its cgroup, if any.",
    )
    memory_share: float = Field(
        0.8, gt=0, le=1, description="Share of it beyond which new searches get 429."
    )
    heartbeat_seconds: float = Field(
        10.0, gt=0, le=300, description="How long a stream of events is silent at most."
    )
    dependency_tls: bool = Field(
        False, description="Whether policy, PPM and sandbox are called over TLS."
    )
    dependency_tls_ca: Path | None = Field(
        None, description="Authorities (PEM) of their certificates; by default the system's."
    )
    dependency_tls_cert: Path | None = Field(
        None, description="Certificate (PEM) to show where they ask for one."
    )
    dependency_tls_key: Path | None = Field(None, description="Private key (PEM) of it.")

    @property
    def channel_tls(self) -> ClientTls | None:
        """TLS of the channels to policy, PPM and sandbox."""
        if not self.dependency_tls:
            return None
        return ClientTls(self.dependency_tls_ca, self.dependency_tls_cert, self.dependency_tls_key)

    def read_admin_key(self) -> str | None:
        """The key of the settings, if any; BadSettings where it cannot be read or is short."""
        key = self.admin_key.get_secret_value() if self.admin_key else ""
        if self.admin_key_file is not None:
            try:
                key = self.admin_key_file.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeError) as error:
                raise BadSettings(f"RSTAR_SEARCH_ADMIN_KEY_FILE: {error}") from error
        if key and len(key) < _KEY_CHARS:
            name = "ADMIN_KEY" if self.admin_key_file is None else "ADMIN_KEY_FILE"
            raise BadSettings(
                f"RSTAR_SEARCH_{name}: the key must have at least {_KEY_CHARS} characters, from a "
                "random source"
            )
        return key or None

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        if self.auth == "off" and not self.allow_public_without_auth and not _is_local(self.host):
            raise ValueError(
                f"host {self.host} can be reached by others, and auth is off: set "
                "RSTAR_SEARCH_AUTH=keys, or RSTAR_SEARCH_ALLOW_PUBLIC_WITHOUT_AUTH=true where "
                "something else keeps strangers out"
            )
        return self


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
