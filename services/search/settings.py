"""Settings of the search service: environment variables RSTAR_SEARCH_<FIELD>."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.common.settings import ServiceSettings


class SearchSettings(ServiceSettings):
    """Where its dependencies are, and what it allows."""

    model_config = SettingsConfigDict(env_prefix="RSTAR_SEARCH_")

    port: int = Field(8000, ge=0, le=65535, description="Port of the REST API; 0 takes a free one.")
    grpc_port: int = Field(50050, ge=0, le=65535, description="Port of the gRPC SearchService.")
    redis_url: str = Field(
        "redis://127.0.0.1:6379/0",
        description="Redis, as redis://, rediss:// or unix:// URL; a cluster, by the address of "
        "any of its nodes, as redis+cluster:// or rediss+cluster://.",
    )
    policy_target: str = Field(
        "127.0.0.1:50051",
        min_length=1,
        description="The policy: host:port, several with commas between (each a replica), or "
        "dns:///host:port, whose addresses are the replicas.",
    )
    ppm_target: str = Field("127.0.0.1:50052", description="The PPM, likewise; empty for none.")
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
