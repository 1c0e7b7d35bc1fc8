"""The search service as its own tests start it: real Redis and grader, scripted policy."""

from tests.integration.search.conftest import redis_url, rig

__all__ = ["redis_url", "rig"]
