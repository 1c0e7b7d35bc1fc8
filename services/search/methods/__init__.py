"""Search methods: which node of a tree is expanded next, and what a rollout is. Pure.

A method may not import anything that does I/O or looks at a clock.
"""
