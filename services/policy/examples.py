"""The few-shot prompt: how an instruct model is shown the form of a solution.

Chosen by measuring; see docs/results.md. The problems are our own.
"""

from dataclasses import dataclass

SYSTEM = (
    "You solve math problems with one Python program. Write it as short steps. Each step begins "
    "with a comment `# Step k:` that says what the step finds, followed by its code. Use sympy "
    "where it helps. The last step prints only the final answer."
)


@dataclass(frozen=True, slots=True)
class Example:
    """A worked example.

    Attributes:
        problem: its text.
        program: the whole solution, a Python program whose steps begin with `# Step k:` and whose
            last step prints the answer.
        answer: what it prints.
    """

    problem: str
    program: str
    answer: float


EXAMPLES = (
    Example(
        "A bakery sells muffins for $3 each and cookies for $2 each. On Monday it sold 24 muffins "
        "and twice as many cookies as muffins. How many dollars did it take in?",
        """\
# Step 1: Find how many cookies were sold
muffins = 24
cookies = 2 * muffins
# Step 2: Add up the money from muffins and cookies
total = 3 * muffins + 2 * cookies
# Step 3: Print the final answer
print(total)""",
        168,
    ),
    Example(
        "The sum of two numbers is 31, and the difference of their squares is 93. What is the "
        "larger number?",
        """\
# Step 1: Name the two numbers and write down both conditions
from sympy import Eq, solve, symbols
x, y = symbols("x y")
conditions = [Eq(x + y, 31), Eq(x**2 - y**2, 93)]
# Step 2: Solve the equations
solution = solve(conditions, [x, y], dict=True)[0]
# Step 3: Print the final answer
print(max(solution[x], solution[y]))""",
        17,
    ),
)
