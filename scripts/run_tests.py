"""Runs all tests in three lanes side by side, so that what one of them waits for, others use.

Those that load a language model share a lane: two at once would not fit into a small machine's
memory and deadlines, and most of a model's start is one thread that imports. The others are in two:
what computes (units, the sandbox), and what mostly waits for leases, deadlines and processes, with
the laboratory. Arguments are pytest's, and mean one run of what they choose.
"""

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import IO, Final

_PYTEST: Final = (sys.executable, "-m", "pytest")
# Every lane would write the same cache of what failed last.
_LANE: Final = (*_PYTEST, "-p", "no:cacheprovider")

_SANDBOX: Final = "tests/integration/sandbox"
# Every test is in just one of them; folders are named since pytest ignores no folder of its own
# setting `testpaths`.
LANES: Final[Mapping[str, Sequence[str]]] = {
    "units and sandbox": ("-m", "not model", "tests/unit", _SANDBOX),
    "models": ("-m", "model"),
    "all others": ("-m", "not model", "tests/integration", "tests/e2e", f"--ignore={_SANDBOX}"),
}


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for, everything without arguments; 0 where all of it passed."""
    if arguments:
        return subprocess.call([*_PYTEST, *arguments])
    return run({name: [*_LANE, *chosen] for name, chosen in LANES.items()})


def run(lanes: Mapping[str, Sequence[str]]) -> int:
    """Run commands side by side: what the first says is seen at once, what others say at the end.

    0 where all ended so, else the first other exit status. Where this is interrupted, so are they,
    and each still cleans up.
    """
    begun = time.monotonic()
    with ExitStack() as stack:
        running: dict[str, tuple[subprocess.Popen[str], IO[str] | None]] = {}
        try:
            for name, command in lanes.items():
                said = stack.enter_context(_file()) if running else None
                process = subprocess.Popen(
                    command, stdout=said, stderr=subprocess.STDOUT if said else None, text=True
                )
                running[name] = process, said
            codes = {name: _ended(name, *lane) for name, lane in running.items()}
        finally:
            for process, _ in running.values():
                process.send_signal(signal.SIGINT)
            for process, _ in running.values():
                process.wait()
    summary = ", ".join(f"{code} {name}" for name, code in codes.items())
    print(f"{time.monotonic() - begun:.0f} s; exit codes: {summary}", flush=True)
    return next((code for code in codes.values() if code), 0)


def _file() -> IO[str]:
    return tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")


def _ended(name: str, process: "subprocess.Popen[str]", said: IO[str] | None) -> int:
    """The exit status of a lane, once it has ended and what it said is printed."""
    code = process.wait()
    if said is not None:
        said.seek(0)
        print(f"\nMeanwhile, {name}:\n", said.read(), sep="\n", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
