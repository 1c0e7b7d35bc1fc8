"""Self-evolution in rounds: harvest, selection, training, evaluation, gate, publishing.

rStar-Math (arXiv 2501.04519), section 3.4 and algorithm 1.
"""
