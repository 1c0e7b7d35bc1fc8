"""Why a request did not lead to what was asked for."""

from rstar.client.models import Problem


class ClientError(Exception):
    """A request that did not succeed; the message is one line for people."""


class Unreachable(ClientError):  # noqa: N818 - a state
    """Nothing answers at the URL, or what answered fell silent."""


class SearchFailed(ClientError):  # noqa: N818 - an event
    """A search was ended by a fault, for example of a dependency that was away for long."""


class ApiError(ClientError):
    """The service refused the request or failed.

    Attributes:
        problem: what it said.
        retry_after_seconds: when it asks to be asked again; None where it does not say.
    """

    def __init__(self, problem: Problem, retry_after_seconds: float | None = None) -> None:
        self.problem = problem
        self.retry_after_seconds = retry_after_seconds
        fields = "; ".join(f"{error.field}: {error.limit}" for error in problem.errors or [])
        said = fields or problem.detail or problem.title
        super().__init__(f"{problem.status} {problem.title}: {said}" if said else problem.title)


class Refused(ApiError):  # noqa: N818 - a state
    """400, 413, 415, 422: the request itself is at fault; `problem.errors` names the fields."""


class Denied(ApiError):  # noqa: N818 - a state
    """401, 403: no valid API key, or not the scope that this takes."""


class NotFound(ApiError):  # noqa: N818 - a state
    """404: there is no such search or key, or it is somebody else's."""


class Busy(ApiError):  # noqa: N818 - a state
    """429: too many requests or searches for this key, or for the service."""


class Unavailable(ApiError):  # noqa: N818 - a state
    """503: a dependency is down, or the service is stopping; `problem.dependency` names it."""


_KINDS: dict[int, type[ApiError]] = {
    400: Refused,
    401: Denied,
    403: Denied,
    404: NotFound,
    413: Refused,
    415: Refused,
    422: Refused,
    429: Busy,
    503: Unavailable,
}


def api_error(problem: Problem, retry_after_seconds: float | None = None) -> ApiError:
    """The exception of a problem, by its status."""
    return _KINDS.get(problem.status, ApiError)(problem, retry_after_seconds)
