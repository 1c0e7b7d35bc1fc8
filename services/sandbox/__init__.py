"""Sandbox service: runs model-written code, one step at a time, isolated."""
