"""The laboratory: generated word problems, a language model of its own, and a scripted solver.

Small enough for the whole loop of self-evolution to run on two cores, through the same services,
grammar, search, selection and training as any other model.
"""
