"""Hooks of schemathesis: what it cannot know of the API."""

import secrets

import schemathesis

NAME = "Idempotency-Key"


@schemathesis.hook
def before_call(
    context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, object]
) -> None:
    """Let no two requests share an Idempotency-Key: the second would be another's."""
    key = case.headers.get(NAME) if case.headers else None
    if isinstance(key, str) and 0 < len(key) < 200:
        case.headers[NAME] = key + secrets.token_hex(8)
