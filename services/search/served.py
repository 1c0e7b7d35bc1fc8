"""What stands behind the search service at a moment."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Served:
    """What a search that begins now would be answered with; see InfoResponse in search.proto.

    Attributes:
        policy: version of the policy.
        prompt_version: how problems are put to it.
        policy_engine: what computes it.
        ppm, ppm_engine: the same of the PPM; empty where none is published.
    """

    policy: str
    prompt_version: str
    policy_engine: str
    ppm: str = ""
    ppm_engine: str = ""
