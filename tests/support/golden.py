"""Golden trees: a search's shape and the script of its replies, and the whole forest they make.

A file holds `config` (see search_world.config), `parallel` (trials in flight at once), `replies`
(by the texts from the root to a node: the candidates that the policy would write there, in the
order in which they are drawn, each a list of steps) and, of what came of it, `trials` in the order
in which they were asked, `answers` by rank and the `trees`.

`pytest tests/unit/services/search/test_golden.py --regenerate-golden` writes the second half anew.
"""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from services.search.answer import AnswerRule
from services.search.forest import Forest
from services.search.methods.presets import Method
from services.search.node import Node, Outcome, StepResult
from services.search.tree import Candidate, Expansion, Guidance, Tree, Trial
from tests.support.search_world import batch, config

_ENUMS = {"method": Method, "answer": AnswerRule, "expansion": Expansion, "guidance": Guidance}
_LIMIT = 200


def outcome(golden: dict[str, Any]) -> dict[str, Any]:
    """What comes of a golden file's script."""
    shape = {k: _ENUMS[k](v) if k in _ENUMS else v for k, v in golden["config"].items()}
    grown = Forest(config(**shape))
    drawn: dict[tuple[int, str], int] = defaultdict(int)
    trials: list[str] = []
    while len(trials) < _LIMIT and (asked := batch(grown, golden["parallel"])):
        for trial in asked:
            path = _path(grown.node(trial))
            trials.append(_describe(trial, path))
            candidates = golden["replies"].get(path, [])[drawn[trial.tree, path] :][: trial.count]
            drawn[trial.tree, path] += trial.count
            grown.tell(trial.id, [_candidate(steps) for steps in candidates])
    ballot = grown.ballot
    return {
        "trials": trials,
        "rollouts": grown.rollouts,
        "answers": [f"{one.answer}: {ballot.share(one):.4f}" for one in ballot.ranked()],
        "trees": [_node(tree, tree.root) for tree in grown.trees],
    }


def _describe(trial: Trial, path: str) -> str:
    return (
        f"trial {trial.id}: tree {trial.tree}, rollout {trial.rollout}, "
        f"{trial.count} at {path or 'the root'}"
    )


def _path(node: Node) -> str:
    return "/".join(above.step.text for above in node.path() if above.step is not None)


def _candidate(steps: list[dict[str, Any]]) -> Candidate:
    return Candidate(tuple(map(_step, steps)))


def _step(fields: dict[str, Any]) -> StepResult:
    """A step: `answer` ends the solution, `error` fails it."""
    state = Outcome.TERMINAL if "answer" in fields else Outcome.OPEN
    return StepResult(
        text=fields["text"],
        outcome=Outcome.FAILED if "error" in fields else state,
        ends_code="answer" in fields,
        tokens=fields.get("tokens", 10),
        mean_logprob=fields.get("logprob", -0.5),
        error=fields.get("error", ""),
        ppm_score=fields.get("ppm"),
        answer=fields.get("answer"),
        correct=fields.get("correct"),
    )


def _node(tree: Tree, node: Node) -> dict[str, Any]:
    """A node with all below it, children by text."""
    children = sorted(
        node.children.values(), key=lambda child: child.step.text if child.step else ""
    )
    return {
        "step": node.step.text if node.step else "root",
        "state": f"{node.outcome}{', closed' if node.closed else ''}",
        "visits": node.visits,
        "q": round(tree.q(node), 6),
        "draws": node.draws,
        "samples": node.samples,
        "votes": dict(sorted(node.votes.items())),
        "children": [_node(tree, child) for child in children],
    }


def write(path: Path, golden: dict[str, Any]) -> None:
    """Write a golden file with its outcome anew."""
    script = {name: golden[name] for name in ("config", "parallel", "replies")}
    path.write_text(json.dumps(script | outcome(golden), indent=1) + "\n", encoding="utf-8")
