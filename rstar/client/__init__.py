"""The typed client of the REST API, sync and async.

    from rstar.client import Client

    with Client("http://127.0.0.1:8000", api_key="rstar_...") as client:
        print(client.solve("What is 6 * 7?").answer)

`AsyncClient` has the same methods as coroutines and async iterators. Both repeat what failed on the
way, without ever starting a search twice, and follow a search on where a broken stream left off.
"""

from rstar.client.aio import AsyncClient
from rstar.client.errors import (
    ApiError,
    Busy,
    ClientError,
    Denied,
    NotFound,
    Refused,
    SearchFailed,
    Unavailable,
    Unreachable,
)
from rstar.client.models import (
    Alternative,
    ApiKey,
    Event,
    FieldError,
    Models,
    NewApiKey,
    Node,
    Problem,
    Progress,
    Search,
    Solution,
    Step,
    Tree,
    Usage,
)
from rstar.client.retry import Retry
from rstar.client.sync import Client
from rstar.client.wire import DEFAULT_URL

__all__ = [
    "DEFAULT_URL",
    "Alternative",
    "ApiError",
    "ApiKey",
    "AsyncClient",
    "Busy",
    "Client",
    "ClientError",
    "Denied",
    "Event",
    "FieldError",
    "Models",
    "NewApiKey",
    "Node",
    "NotFound",
    "Problem",
    "Progress",
    "Refused",
    "Retry",
    "Search",
    "SearchFailed",
    "Solution",
    "Step",
    "Tree",
    "Unavailable",
    "Unreachable",
    "Usage",
]
