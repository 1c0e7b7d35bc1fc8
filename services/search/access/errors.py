"""Why a caller is turned away."""

from services.search.access.keys import Scope


class AccessError(Exception):
    """A caller may not do what it asks for."""


class Unauthenticated(AccessError):  # noqa: N818 - a state
    """No key, or none that is valid."""


class Forbidden(AccessError):  # noqa: N818 - a state
    """A valid key without the scope that this takes."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(f"this needs a key with the scope {scope.value!r}")
        self.scope = scope


class QuotaExceeded(AccessError):  # noqa: N818 - a state
    """A key has used up one of its quotas.

    Attributes:
        policy: the quota's name in the RateLimit-Policy header.
        retry_after_seconds: when asking again may help.
    """

    def __init__(self, policy: str, limit: str, retry_after_seconds: int) -> None:
        super().__init__(f"this key is limited to {limit}")
        self.policy = policy
        self.retry_after_seconds = retry_after_seconds
