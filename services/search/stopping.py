"""When a search stops: budgets, nothing left, or nothing that would change its answer; pure."""

from services.common.posterior import majority_posterior
from services.search.answer import AnswerRule, Ballot
from services.search.budget import Ledger, StopReason
from services.search.forest import Forest
from services.search.tree import Expansion, Guidance

# The threshold at the rungs of a ladder where the caller sets none.
RUNG_CONFIDENCE = 0.95


def stop_reason(
    forest: Forest, ledger: Ledger, threshold: float | None, now: float
) -> StopReason | None:
    """Why the search stops here; None to go on, at the next rung where one was reached.

    Args:
        forest: what the search has found.
        ledger: its budgets; climbs its rungs.
        threshold: the posterior of the answer at which to stop, looked at after every trial or,
            with a ladder, at its rungs; None for never (RUNG_CONFIDENCE at the rungs).
        now: monotonic time in seconds.
    """
    if (reason := ledger.spent(now)) is not None:
        return reason
    has_ladder = len(ledger.rungs) > 1
    while forest.rollouts >= ledger.rungs[ledger.rung]:
        if has_ladder and (reason := _good_enough(forest, threshold)) is not None:
            return reason
        if ledger.rung == len(ledger.rungs) - 1:
            return StopReason.ROLLOUTS
        ledger.rung += 1
    if forest.exhausted:
        return StopReason.EXHAUSTED
    # Where the answer is known, solutions are what is looked for, not the answer.
    if forest.config.tree.guidance is Guidance.GROUND_TRUTH:
        return None
    is_sure = not has_ladder and threshold is not None and confidence(forest.ballot) >= threshold
    if is_sure or is_settled(forest.ballot, votes_left(forest, ledger)):
        return StopReason.CONFIDENT
    return None


def _good_enough(forest: Forest, threshold: float | None) -> StopReason | None:
    """What makes climbing on from a rung needless, as in the paper's round 4."""
    if forest.config.tree.guidance is Guidance.GROUND_TRUTH:
        return StopReason.SOLVED if forest.ballot.solved else None
    bar = RUNG_CONFIDENCE if threshold is None else threshold
    return StopReason.CONFIDENT if confidence(forest.ballot) >= bar else None


def votes_left(forest: Forest, ledger: Ledger) -> int:
    """Most solutions that the budget still allows.

    A rollout of whole trajectories ends in one solution, one of single steps in at most as many as
    a node has candidates; each takes at least one token.
    """
    tree = forest.config.tree
    rollouts = max(ledger.rungs[-1] - forest.rollouts, 0)
    per_rollout = 1 if tree.expansion is Expansion.TRAJECTORY else tree.candidates
    return min(rollouts * per_rollout, ledger.tokens - ledger.spent_tokens + ledger.in_flight)


def is_settled(ballot: Ballot, votes: int) -> bool:
    """Whether the answer stays whatever comes, if at most `votes` solutions are still found.

    No solution weighs more than one vote, so the leader keeps its place even if all that is left
    goes to the second. The rule `best` compares single solutions by PPM score: there, any solution
    to come may win.
    """
    if ballot.leader is None or _compares_solutions(ballot):
        return False
    return ballot.weight(ballot.leader) - _second_weight(ballot) > votes


def confidence(ballot: Ballot) -> float:
    """Posterior probability that the leader is the answer that most samples would give.

    As in adaptive-consistency (arXiv 2305.11860): only the first two answers are looked at. With v1
    and v2 votes, a uniform prior on the leader's share p of the two, and solutions drawn
    independently, p is distributed as Beta(v1 + 1, v2 + 1), and

        P(p > 1/2) = 1 - I_{1/2}(v1 + 1, v2 + 1) = I_{1/2}(v2 + 1, v1 + 1)

    where I is the regularised incomplete beta function. PPM-weighted votes count as fractions of
    votes. The solutions of one tree share beginnings, so they are not independent, and this number
    claims more than it knows.

    Returns:
        0.5 to 1; 0 while there is no answer, and for the rule `best` with a PPM, which does not
        count votes.
    """
    if ballot.leader is None or _compares_solutions(ballot):
        return 0.0
    return majority_posterior(ballot.weight(ballot.leader), _second_weight(ballot))


def _compares_solutions(ballot: Ballot) -> bool:
    return ballot.rule is AnswerRule.BEST and ballot.scored


def _second_weight(ballot: Ballot) -> float:
    return ballot.weight(ballot.second) if ballot.second else 0.0
