"""Where math-verify runs: `python -m services.common.grading.grader_worker PARENT_PID`.

JSON lines: reads {"id", "op": "equal" or "same", "a", "b", "cpu_seconds"}, writes {"id", "equal"};
the first line it writes is {"ready": true}, or {"error": "..."} where it cannot work. Its owner
kills it at a deadline; it dies with its owner, and beyond its limits of CPU time and memory.
"""

import json
import os
import resource
import signal
import sys
from typing import IO, Any

from services.common.parent import die_with

MEMORY_BYTES = 2 * 1024**3


def _limit_cpu(seconds: float) -> None:
    """Let the kernel kill this process after so many more seconds of CPU time."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    soft = int(used.ru_utime + used.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _serve(requests: IO[str], replies: IO[str]) -> None:
    def reply(message: dict[str, Any]) -> None:
        replies.write(json.dumps(message) + "\n")
        replies.flush()

    try:
        from services.common.grading import symbolic  # takes seconds, and needs the extra
    except ImportError as error:
        reply({"error": f"{error.name} cannot be imported"})
        return
    symbolic.same("\\frac{1}{2}", "x+1")  # loads the parser's tables
    reply({"ready": True})
    compare = {"equal": symbolic.equal, "same": symbolic.same}
    for line in requests:
        request = json.loads(line)
        _limit_cpu(request["cpu_seconds"])
        try:
            equal = compare[request["op"]](request["a"], request["b"])
        except Exception:  # whatever sympy raises, the pair is not shown to be equal
            equal = False
        reply({"id": request["id"], "equal": equal})


def main() -> None:
    die_with(int(sys.argv[1]))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the owner, who then stops this
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # nothing that a library prints may get between the replies
    _serve(sys.stdin, replies)


if __name__ == "__main__":
    main()
