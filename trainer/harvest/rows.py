"""The schema of a harvest: one row a node, the roots among them, and rows from searches.

Every tree has exactly one row whose `parent` is null, its root, and every search a tree 0: also one
that gave nothing, which then says so in `failure`.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from services.common.steps import split_comment
from trainer.found_tree import FoundTree
from trainer.harvest.run import Item
from trainer.harvest.searched import Found
from trainer.trees import ROOT_ID, SearchTree, TreeNode

if TYPE_CHECKING:
    import pyarrow

SCHEMA_VERSION: Final = "1"

FIELDS: Final[Mapping[str, tuple[str, bool, str]]] = {
    "item": ("int64", False, "number of the search within the harvest"),
    "problem": ("string", False, "id of the problem"),
    "question": ("string", False, "the problem"),
    "gold": ("string", False, "its reference answer"),
    "level": ("string", False, "its difficulty, as its release says; may be empty"),
    "round": ("int32", False, "round of self-evolution"),
    "seed": ("int64", False, "seed of the search's sampling"),
    "search": ("string", False, "id of the search; empty where it was never begun"),
    "policy": ("string", False, "version of the policy"),
    "ppm": ("string", True, "version of the PPM; null in an unguided search"),
    "stop_reason": ("string", False, "why the search ended; empty where it failed"),
    "failure": ("string", True, "why the search gave no result; null otherwise"),
    "tree": ("int32", False, "which of the search's trees, from 0"),
    "node": ("string", False, "id within its tree: a hash of the steps from the root; `root`"),
    "parent": ("string", True, "id of the node before it; null for the root"),
    "depth": ("int32", False, "steps from the root, 0 for the root"),
    "text": ("string", False, "the step in canonical form; empty for the root"),
    "code": ("string", False, "its Python code; empty for an answer step"),
    "output": ("string", False, "what it printed"),
    "error": ("string", False, "why it failed; empty otherwise"),
    "outcome": ("string", False, "open, terminal, failed or limit; see services.search.node"),
    "ends_code": ("bool", False, "whether it ends the code"),
    "q": ("float64", False, "Q-value, -1 to 1"),
    "visits": ("int64", False, "visit count"),
    "samples": ("int32", False, "how often the policy proposed it"),
    "tokens": ("int32", False, "new tokens of the policy"),
    "mean_logprob": ("float64", False, "mean natural-log probability of those tokens"),
    "ppm_score": ("float64", True, "score of the solution up to here, -1 to 1"),
    "answer": ("string", True, "of a terminal node"),
    "terminal": ("bool", False, "whether it ends a solution with an answer"),
    "correct": ("bool", True, "of a terminal node: whether its answer is right"),
}
"""By name: type, whether it may be null, and what it means."""


def schema() -> "pyarrow.Schema":
    """The schema of every part; each field's metadata say what it means."""
    import pyarrow

    fields = [
        pyarrow.field(name, _type(kind), nullable, {"description": meaning})
        for name, (kind, nullable, meaning) in FIELDS.items()
    ]
    return pyarrow.schema(fields, {"rstar.harvest.schema": SCHEMA_VERSION})


def _type(kind: str) -> Any:
    import pyarrow

    return pyarrow.bool_() if kind == "bool" else getattr(pyarrow, kind)()


def rows(item: Item, round_: int, found: Found, failure: str | None = None) -> list[dict[str, Any]]:
    """The rows of one search: of each tree the root, then its nodes, parents before children.

    ValueError where the nodes are no tree.
    """
    shared = {
        "item": item.number,
        "problem": item.problem.id,
        "question": item.problem.question,
        "gold": item.problem.answer,
        "level": item.problem.level,
        "round": round_,
        "seed": item.seed,
        "search": found.search,
        "ppm": found.ppm or None,
        "stop_reason": found.stop_reason,
        "failure": failure,
    }
    return [
        {**shared, "tree": index, **row}
        for index, tree in enumerate(found.trees)
        for row in _tree(tree, found.policy)
    ]


def _tree(found: FoundTree, policy: str) -> Iterator[dict[str, Any]]:
    tree = SearchTree(found.nodes)
    root = TreeNode(
        id=ROOT_ID,
        parent="",
        text="",
        outcome="open",
        q=found.root_q,
        visits=found.root_visits,
        samples=0,
        policy=policy,
    )
    yield _node(root, 0, "")
    for node in sorted(tree.nodes.values(), key=lambda one: tree.depths[one.id]):
        before = tree.nodes.get(node.parent)
        # What follows the end of the code is the written answer, not code.
        code = "" if before is not None and before.ends_code else split_comment(node.text)[1]
        yield _node(node, tree.depths[node.id], code)


def _node(node: TreeNode, depth: int, code: str) -> dict[str, Any]:
    return {
        "node": node.id,
        "parent": node.parent or None,
        "depth": depth,
        "text": node.text,
        "code": code,
        "output": node.output,
        "error": node.error,
        "outcome": node.outcome,
        "ends_code": node.ends_code,
        "q": node.q,
        "visits": node.visits,
        "samples": node.samples,
        "tokens": node.tokens,
        "mean_logprob": node.mean_logprob,
        "ppm_score": node.ppm_score,
        "answer": node.answer,
        "terminal": node.outcome == "terminal",
        "correct": node.correct,
        "policy": node.policy,
    }


NODE_COLUMNS: Final = (
    *("text", "outcome", "output", "error", "ends_code", "q", "visits", "samples", "tokens"),
    *("mean_logprob", "ppm_score", "answer", "correct", "policy"),
)


def trees(rows_of_search: Iterable[Mapping[str, Any]]) -> list[list[TreeNode]]:
    """The nodes of each tree of one search, from its rows, without the roots."""
    found: dict[int, list[TreeNode]] = {}
    for row in rows_of_search:
        nodes = found.setdefault(row["tree"], [])
        if row["parent"] is not None:
            fields = {name: row[name] for name in NODE_COLUMNS}
            nodes.append(TreeNode(id=row["node"], parent=row["parent"], **fields))
    return [found[index] for index in sorted(found)]
