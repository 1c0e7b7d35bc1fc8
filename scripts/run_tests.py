"""Runs all tests in two lanes side by side: those that load a language model, and all others.

Most of a model's start is one thread that imports, so a lane alone leaves a core idle; two models
at once would not fit into a small machine's memory and deadlines, so they share a lane. Arguments
are pytest's, and mean one run of what they choose.
"""

import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Final

_PYTEST: Final = (sys.executable, "-m", "pytest")
# Both lanes would write the same cache of what failed last.
_LANE: Final = (*_PYTEST, "-p", "no:cacheprovider", "-m")


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for, everything without arguments; 0 where all of it passed."""
    if arguments:
        return subprocess.call([*_PYTEST, *arguments])
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        models = subprocess.Popen([*_LANE, "model"], stdout=said, stderr=subprocess.STDOUT)
        try:
            others = subprocess.call([*_LANE, "not model"])
            print("\nTests that load a language model, run meanwhile:\n", flush=True)
            code = models.wait()
        finally:
            # Where this is interrupted, nothing goes on alone, and pytest still tears down.
            models.send_signal(signal.SIGINT)
            models.wait()
        said.seek(0)
        print(said.read(), flush=True)
    print(f"exit codes: {others} without models, {code} with", flush=True)
    return others or code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
