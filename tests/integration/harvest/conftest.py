"""A real Redis and the search service, as the tests of the search start them."""

from tests.integration.search.conftest import redis_url, rig

__all__ = ["redis_url", "rig"]
