"""From the end of a step to its RunResponse. Pure."""

from typing import Final

from services.common.pb.sandbox.v1 import sandbox_pb2 as pb
from services.sandbox.wire import Ending, Result

_STATUS: Final = {
    Ending.OK: pb.STATUS_OK,
    Ending.ERROR: pb.STATUS_ERROR,
    Ending.OUT_OF_MEMORY: pb.STATUS_OUT_OF_MEMORY,
    Ending.OUTPUT_LIMIT: pb.STATUS_OUTPUT_LIMIT,
}
_MAX_LINE: Final = 2**32 - 1


def from_result(result: Result) -> pb.RunResponse:
    """The response to a step that told its end itself."""
    response = pb.RunResponse(
        status=_STATUS[result.ending],
        output=result.output,
        output_truncated=result.truncated,
    )
    if result.ending != Ending.OK:
        response.error.CopyFrom(
            pb.CodeError(
                type=result.error_type,
                message=result.message,
                line=min(result.line, _MAX_LINE),
            )
        )
    return response


def timeout(wall_seconds: float) -> pb.RunResponse:
    """The response to a step that was killed at its deadline."""
    return _failed(pb.STATUS_TIMEOUT, "Timeout", f"ran longer than {wall_seconds:g} s")


def killed(reason: str) -> pb.RunResponse:
    """The response to a step whose process ended or can no longer be understood."""
    return _failed(pb.STATUS_KILLED, "Killed", reason)


def rejected(node_id: str, cause: pb.RunResponse) -> pb.RunResponse:
    """The response to a step whose ancestor did not succeed when it was replayed."""
    status = pb.Status.Name(cause.status)
    message = f"ancestor {node_id} ended with {status}"
    if cause.error.type:
        message += f": {cause.error.type}: {cause.error.message}"
    return _failed(pb.STATUS_REJECTED, "Rejected", message[:2000])


def unforkable(reason: str) -> pb.RunResponse:
    """The response to a step whose parent's state can again and again not be forked."""
    return _failed(
        pb.STATUS_REJECTED, "Rejected", f"the state before this step is of no use: {reason}"
    )


def _failed(status: pb.Status.ValueType, error_type: str, message: str) -> pb.RunResponse:
    return pb.RunResponse(status=status, error=pb.CodeError(type=error_type, message=message))
