"""Errors in OpenAI's shape: `{"error": {"message", "type", "param", "code"}}`."""

from fastapi.responses import JSONResponse, Response

from services.search.access.errors import QuotaExceeded
from services.search.rest import problems
from services.search.rest.openai.documents import Error, ErrorBody

_TYPES: dict[int, tuple[str, str]] = {
    401: ("authentication_error", "invalid_api_key"),
    403: ("permission_error", "insufficient_scope"),
    404: ("invalid_request_error", "not_found"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
    503: ("server_error", "service_unavailable"),
}
_BAD_REQUEST = 400
_INVALID = 422
_SERVER = 500


class ModelNotFound(LookupError):  # noqa: N818 - a state
    """There is no model of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the model {name!r} does not exist")


class Unsupported(ValueError):  # noqa: N818 - names the request's fault
    """A parameter that a search has no meaning for."""

    def __init__(self, param: str, why: str) -> None:
        super().__init__(why)
        self.param = param


def from_error(error: Exception) -> tuple[int, Error, dict[str, str]]:
    """Status, error and headers of an exception."""
    match error:
        case ModelNotFound():
            body = ErrorBody(
                message=str(error),
                type="invalid_request_error",
                param="model",
                code="model_not_found",
            )
            return 404, Error(error=body), {}
        case Unsupported(param=param):
            body = ErrorBody(
                message=str(error),
                type="invalid_request_error",
                param=param,
                code="unsupported_parameter",
            )
            return _BAD_REQUEST, Error(error=body), {}
    problem, headers = problems.from_error(error)
    # OpenAI's clients know no 422: what is wrong with a request is 400 to them.
    status = _BAD_REQUEST if problem.status == _INVALID else problem.status
    default = "server_error" if status >= _SERVER else "invalid_request_error"
    kind, code = _TYPES.get(status, (default, ""))
    if isinstance(error, QuotaExceeded):
        code = "quota_exceeded"
    body = ErrorBody(
        message=problem.detail,
        type=kind,
        param=problem.errors[0].field if problem.errors else None,
        code=code or None,
    )
    return status, Error(error=body), headers


def respond(error: Exception) -> Response:
    """The response of an exception."""
    status, document, headers = from_error(error)
    return JSONResponse(document.model_dump(), status_code=status, headers=headers)
