"""A real Redis, shared with the tests of the search."""

from tests.integration.search.conftest import redis_url

__all__ = ["redis_url"]
