"""What the answer of a solution is, and whether two answers are equal."""
