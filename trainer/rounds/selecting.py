"""Training rows out of a round's searches."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from services.common.models.folder import hash_file
from trainer.harvest.dataset import searched
from trainer.rounds.config import Selection
from trainer.rounds.results import Selected
from trainer.selection.pairs import select_pairs
from trainer.selection.solutions import select_solutions
from trainer.training.data import pair_groups, solution_row
from trainer.training.files import BadData, write

SOLUTIONS: Final = "solutions.parquet"
GROUPS: Final = "groups.parquet"


def select(harvests: Sequence[Path], rules: Selection, folder: Path) -> Selected:
    """Choose solutions and pairs, and write them into the round's folder.

    Args:
        harvests: folders, of one round or of several: rounds add to each other's trees.
        rules: of both selections.
        folder: gets `solutions.parquet` and `groups.parquet`.

    Raises:
        BadData: there is nothing to learn from.
    """
    problems = list(searched(harvests))
    solutions = select_solutions(problems, rules.solution_rules)
    pairs = select_pairs(problems, rules.pair_rules)
    if not solutions.chosen or not pairs.pairs:
        raise BadData(
            f"{len(problems)} problems gave {len(solutions.chosen)} solutions and "
            f"{len(pairs.pairs)} pairs; both are needed"
        )
    groups = pair_groups(pairs.pairs)
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / SOLUTIONS, [solution_row(one) for one in solutions.chosen])
    write(folder / GROUPS, groups)
    dropped = Counter({f"solutions: {name}": n for name, n in solutions.dropped.items()})
    dropped.update({f"pairs: {name}": n for name, n in pairs.dropped.items()})
    return Selected(
        solutions=len(solutions.chosen),
        groups=len(groups),
        pairs=dict(Counter(str(one.kind) for one in pairs.pairs)),
        dropped=dict(dropped),
        files={name: hash_file(folder / name) for name in (SOLUTIONS, GROUPS)},
    )
