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
        "A bakery sells muffins for $3 each and cookies for $2 each. On Monday it sold 24 muffins"
        " and twice as many cookies as muffins. How many dollars did it take in?",
        """\
# Step 1: The number of cookies is twice the number of muffins, so cookies = 2 * 24
muffins = 24
cookies = 2 * muffins
# Step 2: The muffins bring $3 each and the cookies $2 each
muffin_money = 3 * muffins
cookie_money = 2 * cookies
# Step 3: The bakery took in both amounts together
total = muffin_money + cookie_money
print(total)""",
        168,
    ),
    Example(
        "A tank holds 240 liters of water. On the first day 3/8 of the water is used, and on the "
        "second day 40% of what is left. How many liters remain?",
        """\
# Step 1: On the first day 3/8 of 240 liters is used, so 5/8 of it is left
start = 240
after_first = start - start * 3 / 8
# Step 2: On the second day 40% of what is left is used
used_second = after_first * 40 / 100
# Step 3: What remains is what was left less what was used on the second day
remaining = after_first - used_second
print(remaining)""",
        90,
    ),
    Example(
        "The sum of two numbers is 31, and the difference of their squares is 93. What is the "
        "larger number?",
        """\
# Step 1: Call the numbers x and y, and write down both conditions
from sympy import Eq, solve, symbols
x, y = symbols("x y")
conditions = [Eq(x + y, 31), Eq(x**2 - y**2, 93)]
# Step 2: Solve the two equations for x and y
solution = solve(conditions, [x, y], dict=True)[0]
# Step 3: The answer is the larger of the two numbers
answer = max(solution[x], solution[y])
print(answer)""",
        17,
    ),
)
