"""Evaluation: problems with known answers through the search service, graded and summarised.

Reads problems and never hands them on: what is measured here must not become training data.
"""
