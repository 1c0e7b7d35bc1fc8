"""What a policy takes at once, whatever draws its candidates."""

from pydantic import Field

from services.common.settings import ServiceSettings


class Limits(ServiceSettings):
    """Limits of calls; a part of a policy's settings."""

    max_count: int = Field(64, ge=1, le=4096, description="Most candidates of one call.")
    max_in_flight: int = Field(
        256, ge=1, le=65_536, description="Candidates that may wait or run at once."
    )
    max_problem_chars: int = Field(
        16_384, ge=1, le=1_048_576, description="Longest problem, in characters."
    )
    max_steps: int = Field(64, ge=1, le=1024, description="Most steps before the proposed ones.")
