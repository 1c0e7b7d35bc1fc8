"""Where an error came from, without what it says: messages may quote what a request held."""

import traceback

_CAUSED = "\nThe above exception was the direct cause of the following exception:\n\n"
_MEANWHILE = "\nDuring handling of the above exception, another exception occurred:\n\n"


def describe(error: BaseException) -> str:
    """A traceback of an error, those that led to it and those it holds, by their types alone."""
    parts: list[str] = []
    at: BaseException | None = error
    seen: set[int] = set()
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        parts.append(_one(at))
        if at.__cause__ is not None:
            parts.append(_CAUSED)
            at = at.__cause__
        elif at.__context__ is not None and not at.__suppress_context__:
            parts.append(_MEANWHILE)
            at = at.__context__
        else:
            at = None
    return "".join(reversed(parts)).rstrip()


def _one(error: BaseException) -> str:
    frames = "".join(traceback.format_tb(error.__traceback__))
    kind = type(error)
    text = f"Traceback (most recent call last):\n{frames}{kind.__module__}.{kind.__qualname__}\n"
    if isinstance(error, BaseExceptionGroup):
        text += "".join(f"  of which: {describe(inner)}\n" for inner in error.exceptions)
    return text
