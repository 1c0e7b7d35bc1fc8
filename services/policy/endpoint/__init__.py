"""The policy's contract in front of a server that speaks the OpenAI API.

A model that is served elsewhere proposes steps, to bootstrap round 1 of an evolution, say.
"""
