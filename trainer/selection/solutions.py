"""The SFT set: which solutions a policy is trained on (section 3.4)."""

import ast
import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from trainer.selection.searched import Difficulty, Searched
from trainer.trees import Trajectory


@dataclass(frozen=True, slots=True)
class SolutionRules:
    """How solutions are chosen.

    Attributes:
        per_problem: most solutions of one problem; 2 in the paper.
        max_tokens: longest solution, in new tokens of the policy that wrote it.
        easy_per_other: most easy problems for each one that is not; 0 for no limit.
    """

    per_problem: int = 2
    max_tokens: int = 2048
    easy_per_other: float = 0.0


@dataclass(frozen=True, slots=True)
class ChosenSolution:
    """A solution to be learnt.

    Attributes:
        problem: id of its problem.
        question: the problem.
        solution: its steps.
        difficulty: of the problem.
    """

    problem: str
    question: str
    solution: Trajectory
    difficulty: Difficulty


@dataclass(slots=True)
class SolutionSet:
    """The chosen solutions, and how many each rule dropped."""

    chosen: list[ChosenSolution] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)


def select_solutions(problems: Sequence[Searched], rules: SolutionRules) -> SolutionSet:
    """Choose the solutions to train on, problem by problem, in their order."""
    found = SolutionSet()
    easy = spared_easy(problems, rules.easy_per_other)
    for problem in problems:
        if problem.id in easy:
            found.dropped["easy problem beyond the balance"] += len(problem.trajectories)
            continue
        kept = _kept(problem.trajectories, rules, found.dropped)
        found.chosen += [
            ChosenSolution(problem.id, problem.question, one, problem.difficulty) for one in kept
        ]
    return found


def _kept(
    solutions: Sequence[Trajectory], rules: SolutionRules, dropped: Counter[str]
) -> list[Trajectory]:
    stages: tuple[tuple[str, Callable[[Sequence[Trajectory]], list[Trajectory]]], ...] = (
        ("wrong answer", right),
        ("failed code", running),
        ("too long", lambda some: within(some, rules.max_tokens)),
        ("written before", distinct),
        ("not among the best", lambda some: best(some, rules.per_problem)),
    )
    left = list(solutions)
    for name, rule in stages:
        before = len(left)
        left = rule(left)
        dropped[name] += before - len(left)
    return left


def right(solutions: Sequence[Trajectory]) -> list[Trajectory]:
    """Those whose answer is right."""
    return [one for one in solutions if one.correct]


def running(solutions: Sequence[Trajectory]) -> list[Trajectory]:
    """Those without a step whose code failed."""
    return [one for one in solutions if all(node.outcome != "failed" for node in one.nodes)]


def within(solutions: Sequence[Trajectory], max_tokens: int) -> list[Trajectory]:
    """Those of at most `max_tokens` new tokens."""
    return [one for one in solutions if sum(node.tokens for node in one.nodes) <= max_tokens]


def distinct(solutions: Sequence[Trajectory]) -> list[Trajectory]:
    """The first of those that read the same but for comments and white space."""
    seen: dict[str, Trajectory] = {}
    for one in solutions:
        seen.setdefault("\n".join(bare(node.text) for node in one.nodes), one)
    return list(seen.values())


def bare(code: str) -> str:
    """A step without its comments and white space; what is no code is left as it is."""
    try:
        return ast.unparse(ast.parse(code))
    except (SyntaxError, ValueError, RecursionError):
        return code.strip()


def best(solutions: Sequence[Trajectory], count: int) -> list[Trajectory]:
    """The `count` with the highest mean Q, among equals with the highest lowest Q."""
    ranked = sorted(solutions, key=lambda one: (-one.mean_q, -one.min_q, one.leaf.id))
    return ranked[:count]


def spared_easy(problems: Sequence[Searched], easy_per_other: float) -> set[str]:
    """Ids of the easy problems beyond `easy_per_other` for each one that is not easy; 0: none.

    Which ones is decided by a hash of their ids, so that it is the same in every round.
    """
    if not easy_per_other:
        return set()
    easy = [problem.id for problem in problems if problem.difficulty is Difficulty.EASY]
    allowed = int(easy_per_other * (len(problems) - len(easy)))
    easy.sort(key=lambda identity: hashlib.sha256(identity.encode()).digest())
    return set(easy[allowed:])
