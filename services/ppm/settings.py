"""Settings of the PPM service: RSTAR_PPM_*."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.common.inference.settings import ModelSettings


class PpmSettings(ModelSettings):
    """What is served, and how much of it at once."""

    model_config = SettingsConfigDict(env_prefix="RSTAR_PPM_")

    port: int = Field(50052, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    model: str = Field(
        "",
        max_length=200,
        description="What is served: a version of the model store, or an alias such as production, "
        "which is then followed, also where it points nowhere yet; empty for none: the service "
        "then runs, says that it has no model, and starts no engine.",
    )
    max_batch: int = Field(256, ge=1, le=4096, description="Most partial solutions of one call.")
    max_in_flight: int = Field(
        1024, ge=1, le=65_536, description="Partial solutions that may wait or run at once."
    )
    max_problem_chars: int = Field(
        16_384, ge=1, le=1_048_576, description="Longest problem, in characters."
    )
    max_steps: int = Field(128, ge=1, le=1024, description="Most steps of a partial solution.")
