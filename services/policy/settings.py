"""Settings of the policy service: RSTAR_POLICY_*."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.common.inference.settings import ModelSettings
from services.policy.limits import Limits


class PolicySettings(Limits, ModelSettings):
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

    @property
    def trial_names(self) -> list[str]:
        """The versions and aliases of `trials`."""
        return [name for part in self.trials.split(",") if (name := part.strip())]
