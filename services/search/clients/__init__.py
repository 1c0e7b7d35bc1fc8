"""Clients of the services that a search calls, and what they have in common."""
