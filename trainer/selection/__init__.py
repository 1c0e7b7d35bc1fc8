"""From searched problems to training sets: each rule a small pure function, each drop counted.

rStar-Math (arXiv 2501.04519), sections 3.3 and 3.4.
"""
