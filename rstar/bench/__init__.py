"""Measuring the stack under load: scripted models with no think time, a rig, and its meters."""
