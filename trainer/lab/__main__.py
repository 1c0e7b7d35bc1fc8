"""`python -m trainer.lab FOLDER`: the laboratory's problems as files, and its base in the store.

What is there already is kept, and a pretraining that was broken off goes on.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Final

from services.common import logs
from services.common.models.store import ModelStore
from trainer.lab.base import Pretraining, make_base, shipped_base
from trainer.lab.model import Shape
from trainer.lab.problems import LEVELS, generate, write

TRAIN: Final = "train.jsonl"
HELD_OUT: Final = "held_out.jsonl"
HELD_OUT_SEED: Final = 9_001

log = logs.get(__name__)


def main(arguments: list[str] | None = None) -> int:
    """Make what is missing; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m trainer.lab", description=__doc__)
    parser.add_argument("folder", type=Path, help="gets the problems, and pretraining on the way")
    parser.add_argument("--store", help="model store; the user's own where it is not given")
    parser.add_argument("--train", type=int, default=420, help="problems to learn from")
    parser.add_argument("--held-out", type=int, default=504, help="problems to measure on")
    parser.add_argument(
        "--levels", type=int, choices=LEVELS, default=LEVELS[-1], help="problems of 1 to so many"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the problems to learn from")
    parser.add_argument(
        "--pretrain",
        type=int,
        metavar="PROBLEMS",
        help=f"pretrain a base on so many; what ships was made with {Pretraining().problems:,}",
    )
    options = parser.parse_args(arguments)
    logs.configure("trainer.lab")
    # Read when torch is loaded: threads that spin while they wait take the cores from others.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # One is faster than two here: what a thread does is over before it is awake.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    folder: Path = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    levels = LEVELS[: options.levels]
    write(folder / TRAIN, list(generate(options.train, "train", options.seed, levels)))
    write(folder / HELD_OUT, list(generate(options.held_out, "held_out", HELD_OUT_SEED, levels)))
    store = ModelStore(options.store)
    if options.pretrain is None:
        base = shipped_base(store)
    else:
        how = Pretraining(problems=options.pretrain)
        base = make_base(store, folder / "base", Shape(), how)
    log.info("ready", folder=str(folder), base=base.manifest.version)
    return 0


if __name__ == "__main__":
    sys.exit(main())
