"""Examples and responses of the OpenAPI document."""

from typing import Any

from services.search.rest.openai.documents import MODEL, Error
from services.search.rest.problems import MEDIA_TYPE, QUOTA_EXCEEDED
from services.search.schemas import Problem
from services.search.views import Accepted

Responses = dict[int | str, dict[str, Any]]

SEARCH_ID = "019aa6f3c1e8d2f4b6a1c3e5f70"
_USAGE = {
    "rollouts": 16,
    "nodes": 41,
    "policy_tokens": 1630,
    "ppm_calls": 0,
    "sandbox_runs": 41,
    "seconds": 14.2,
}
_PROGRESS = {"search_id": SEARCH_ID, "answer": "3", "confidence": 0.9, "usage": _USAGE}
SOLUTION = {
    "search_id": SEARCH_ID,
    "answer": "3",
    "confidence": 0.94,
    "steps": [
        {
            "text": "Step 1: Add blue and white fiber",
            "code": "blue = 2\nwhite = blue / 2\nprint(blue + white)",
            "output": "3.0\n",
            "q": 0.88,
            "visits": 12,
            "ppm_score": None,
        }
    ],
    "alternatives": [
        {"answer": "3", "weight": 0.94, "trajectories": 15},
        {"answer": "4", "weight": 0.06, "trajectories": 1},
    ],
    "stop_reason": "confident",
    "usage": _USAGE,
    "models": {"policy": "qwen2.5-coder-0.5b", "ppm": None},
    "guided": False,
}
_SUMMARY = {
    "search_id": SEARCH_ID,
    "status": "finished",
    "created": 1763846400.0,
    "ended": 1763846414.2,
    "problem": "A robe takes 2 bolts of blue fiber and half that much white fiber. How many?",
    "method": "mcts",
    "answer": "3",
    "confidence": 0.94,
    "stop_reason": "confident",
    "usage": _USAGE,
    "failure": None,
    "key_id": "5f0c2a9d7e31b846",
}
SEARCH = {**_SUMMARY, "solution": SOLUTION}
SEARCH_PAGE = {"searches": [_SUMMARY], "next": None}
_ROOT = {
    "id": "root",
    "tree": 0,
    "parent": None,
    "depth": 0,
    "text": "",
    "code": "",
    "output": "",
    "error": "",
    "outcome": "open",
    "q": 0.88,
    "visits": 16,
    "ppm_score": None,
    "tokens": 0,
    "mean_logprob": 0.0,
    "answer": None,
    "best": False,
}
TREE = {"search_id": SEARCH_ID, "event": "5-0", "nodes": [_ROOT]}
NEW_KEY = {
    "id": "5f0c2a9d7e31b846",
    "name": "evaluation",
    "scopes": ["solve"],
    "requests_per_minute": 120,
    "searches": 16,
    "created": 1763846400.0,
    "expires": None,
    "last_used": None,
    "key": "rstar_5f0c2a9d7e31b846_<43 characters>",
}
_COMPLETION = {
    "id": f"chatcmpl-{SEARCH_ID}",
    "object": "chat.completion",
    "created": 1763846414,
    "model": MODEL,
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": (
                    "Step 1: Multiply\n\n```python\nprint(6 * 7)\n```\n\n"
                    "```output\n42\n```\n\nThe answer is $\\boxed{42}$"
                ),
                "refusal": None,
            },
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 0, "completion_tokens": 1630, "total_tokens": 1630},
    "rstar": {
        "search_id": SEARCH_ID,
        "answer": "42",
        "confidence": 0.94,
        "alternatives": [{"answer": "42", "weight": 1.0, "trajectories": 16}],
        "stop_reason": "confident",
        "usage": _USAGE,
    },
}

_PROBLEMS: dict[int, tuple[str, dict[str, Any]]] = {
    400: ("The body cannot be read at all.", {"title": "Bad Request"}),
    401: ("No API key, or none that is valid.", {"title": "Unauthenticated"}),
    403: ("The key lacks the scope that this takes.", {"title": "Forbidden"}),
    404: ("There is none, or it belongs to another key.", {"title": "Not found"}),
    406: ("Nothing that is sent is in Accept.", {"title": "Not Acceptable"}),
    409: ("It has ended already.", {"title": "Already ended"}),
    413: ("The body is too large.", {"title": "Request Entity Too Large"}),
    415: ("The body is not JSON.", {"title": "Unsupported Media Type"}),
    422: (
        "A field breaks its limit; `errors` names each.",
        {
            "title": "Invalid request",
            "errors": [
                {"field": "budget.rollouts", "limit": "Input should be less than or equal to 10000"}
            ],
        },
    ),
    429: (
        "A quota of the key (see `violated-policies`) or of the service is used up.",
        {
            "type": QUOTA_EXCEEDED,
            "title": "Quota exceeded",
            "violated-policies": ["requests"],
        },
    ),
    500: ("A fault of the service.", {"title": "Internal error"}),
    503: (
        "`dependency` is down or too slow, or this replica is stopping.",
        {"title": "Dependency unavailable", "dependency": "policy"},
    ),
}
# What any operation may answer.
_ALWAYS = (401, 406, 429, 503)


def problems(*statuses: int) -> Responses:
    """Error responses in problem details: these, and those that any operation may give."""
    return {status: _problem(status) for status in sorted({*statuses, *_ALWAYS})}


def _problem(status: int) -> dict[str, Any]:
    description, example = _PROBLEMS[status]
    document = {"type": "about:blank", **example, "status": status, "detail": description}
    response: dict[str, Any] = {
        "description": description,
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "example": document,
            }
        },
    }
    if status in (429, 503):
        response["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
    return response


def example(status: int, document: object) -> Responses:
    """A response with an example."""
    return {status: {"content": {"application/json": {"example": document}}}}


def openai_errors(*statuses: int) -> Responses:
    """Error responses in OpenAI's shape."""
    return {
        status: {"model": Error, "description": _PROBLEMS[status][0]}
        for status in sorted({*statuses, *_ALWAYS})
    }


# OpenAPI 3.2 names the schema of one event so; older readers pass over it.
_EVENT = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("id", "event", "data")},
    "required": ["event", "data"],
}
_EVENT_STREAM = {
    "text/event-stream": {
        "itemSchema": _EVENT,
        "example": f"id: 1-0\nevent: progress\ndata: {_PROGRESS}\n\n".replace("'", '"'),
    }
}
EVENTS: Responses = {
    204: {"description": "There is nothing after it: the search has ended."},
    200: {
        "description": "The log from there on, to its end.",
        "content": {
            "text/event-stream": {
                "itemSchema": _EVENT,
                "example": 'id: 7-0\nevent: trial\ndata: {"search_id": "..."}\n\n',
            }
        },
    },
}
SOLVE_RESPONSES: Responses = {
    200: {
        "description": "The solution or, with `stream`, the events on the way to it.",
        "content": {"application/json": {"example": SOLUTION}, **_EVENT_STREAM},
    },
    202: {
        "model": Accepted,
        "description": "With `async`: the search has begun.",
        "headers": {"Location": {"schema": {"type": "string"}}},
    },
    **problems(400, 403, 413, 415, 422, 500),
}
CHAT_RESPONSES: Responses = {
    200: {
        "description": "The completion or, with `stream`, its chunks.",
        "content": {
            "application/json": {"example": _COMPLETION},
            "text/event-stream": {"itemSchema": {"type": "object", "required": ["data"]}},
        },
    },
    **openai_errors(400, 403, 404, 413, 415, 500),
}

_SECURITY = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key. Not asked for where the service runs with `auth` off.",
    },
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


def finish(document: dict[str, Any], open_paths: frozenset[str]) -> dict[str, Any]:
    """Add to an OpenAPI document what is common to all operations."""
    components = document.setdefault("components", {})
    components["securitySchemes"] = _SECURITY
    schemas = components.setdefault("schemas", {})
    schemas["Problem"] = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(schemas["Problem"].pop("$defs", {}))
    for path, operations in document["paths"].items():
        for operation in operations.values():
            # An empty alternative: the service may run without keys.
            operation["security"] = (
                [] if path in open_paths else [{"bearer": []}, {"header": []}, {}]
            )
            for parameter in operation.get("parameters", []):
                _never_null(parameter["schema"])
            # FastAPI's own shape of 422, which no operation answers in.
            unprocessable = operation["responses"].get("422", {})
            if "application/json" in unprocessable.get("content", {}):
                unprocessable["content"].pop("application/json")
                if not unprocessable["content"]:
                    del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    return document


def _never_null(schema: dict[str, Any]) -> None:
    """Take null out of a parameter's schema: in a URL or a header it would be a word."""
    kinds = [kind for kind in schema.get("anyOf", []) if kind != {"type": "null"}]
    if len(kinds) == 1:
        del schema["anyOf"]
        schema.update(kinds[0])
