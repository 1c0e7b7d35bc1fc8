"""Reads a process's settings from its environment, and says in a line each what is refused.

Values are quoted where they are numbers, choices or paths. What is free text may be a secret, such
as a key or the password in a URL, and is never repeated.
"""

import difflib
import os
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final, NoReturn, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings

Settings = TypeVar("Settings", bound=BaseSettings)

EXIT_REFUSED: Final = 2
"""Exit status of a process whose settings are refused: started again, it would be again."""

_LONGEST_QUOTE: Final = 80

# By pydantic's type of the error; `{}` names are those of its context, and `value` what was given.
_FAULTS: Final = {
    "missing": "is not set, and has no default",
    "greater_than_equal": "{value} is below the minimum of {ge}",
    "greater_than": "{value} is not above {gt}",
    "less_than_equal": "{value} is above the maximum of {le}",
    "less_than": "{value} is not below {lt}",
    "int_parsing": "{value} is not a whole number",
    "int_parsing_size": "{value} has too many digits",
    "int_from_float": "{value} is not a whole number",
    "float_parsing": "{value} is not a number",
    "finite_number": "{value} is not a finite number",
    "bool_parsing": "{value} is neither true nor false",
    "literal_error": "{value} is not one of {expected}",
    "path_not_directory": "{value} is not a folder that is there",
    "string_too_short": "has fewer than the minimum of {min_length} characters",
    "string_too_long": "has more than the maximum of {max_length} characters",
}

# What Kubernetes and Docker add for a service or container of the same name; not settings.
_LINK: Final = re.compile(r"(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)")


def read(kind: type[Settings], **given: Any) -> Settings:
    """Settings from the environment, `given` before it.

    Where any is refused, a line for each says so on standard error, and the process ends with
    EXIT_REFUSED.
    """
    try:
        return kind(**given)
    except ValidationError as error:
        refuse(faults(kind, error))


def refuse(lines: Iterable[str]) -> NoReturn:
    """End the process with these lines on standard error and EXIT_REFUSED."""
    sys.stderr.write("".join(f"{line}\n" for line in lines))
    sys.exit(EXIT_REFUSED)


def faults(kind: type[BaseSettings], error: ValidationError) -> list[str]:
    """A line for each setting that was refused: its variable, what is wrong with it, its limit."""
    return [_fault(_prefix(kind), one) for one in error.errors(include_url=False)]


def unknown(
    kind: type[BaseSettings], environment: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Variables with the prefix of these settings that name none of them.

    With each comes the variable that it may have been meant for, empty where none is like it.
    """
    prefix = _prefix(kind)
    known = {name.upper() for name in kind.model_fields}
    of_others = {name.upper() for name in getattr(kind, "of_others", ())}
    strange = {}
    for variable in sorted(environment):
        name = variable.upper().removeprefix(prefix)
        if not variable.upper().startswith(prefix) or name in known | of_others:
            continue
        if _LINK.fullmatch(name) is None:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
            strange[variable] = f"{prefix}{near[0]}" if near else ""
    return strange


def _prefix(kind: type[BaseSettings]) -> str:
    return kind.model_config.get("env_prefix", "").upper()


def _fault(prefix: str, error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    if not error["loc"]:
        # Of several settings at once; the message, ours, names them.
        return f"{prefix}*: {context.get('error', error['msg'])}"
    name = f"{prefix}{error['loc'][0]}".upper()
    if error["type"] == "value_error":
        # A check of ours on this one.
        return f"{name}: {context['error']}"
    told = _FAULTS.get(error["type"])
    if told is None:
        return f"{name}: {error['msg']}"
    return f"{name}: {told.format(value=_quoted(error['input']), **context)}"


def _quoted(value: object) -> str:
    text = str(value)
    if re.fullmatch(r"[-+.\w]{1,40}", text):
        return text
    return repr(text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}...")
