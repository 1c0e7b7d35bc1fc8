"""Settings of the policy service: RSTAR_POLICY_*."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.common.inference.settings import ModelSettings


class PolicySettings(ModelSettings):
    """What is served, and how much of it at once."""

    model_config = SettingsConfigDict(env_prefix="RSTAR_POLICY_")

    port: int = Field(50051, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    model: str = Field(
        "qwen2.5-coder-0.5b",
        min_length=1,
        max_length=200,
        description="What is served: a version of the model store, or an alias such as production, "
        "which is then followed.",
    )
    trials: str = Field(
        "",
        max_length=2000,
        description="Versions or aliases, separated by commas, whose LoRA adapters are served "
        "beside the model they were trained on: candidate, say. Empty serves the model alone, "
        "which is faster.",
    )
    trial_rank: int = Field(
        64, ge=1, le=512, description="Largest rank of a LoRA adapter that is served."
    )
    max_count: int = Field(64, ge=1, le=4096, description="Most candidates of one call.")
    max_in_flight: int = Field(
        256, ge=1, le=65_536, description="Candidates that may wait or run at once."
    )
    max_problem_chars: int = Field(
        16_384, ge=1, le=1_048_576, description="Longest problem, in characters."
    )
    max_steps: int = Field(64, ge=1, le=1024, description="Most steps before the proposed ones.")

    @property
    def trial_names(self) -> list[str]:
        """The versions and aliases of `trials`."""
        return [name for part in self.trials.split(",") if (name := part.strip())]
