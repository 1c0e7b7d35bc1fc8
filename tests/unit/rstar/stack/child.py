"""A small real child process for the supervisor's tests: a gRPC health server that misbehaves."""

import argparse
import asyncio
import os
import signal
import subprocess
import sys

from services.common import rpc

SLEEPER = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(600)
"""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--exit-code", type=int, help="say so and exit before listening")
    parser.add_argument("--unready", action="store_true", help="listen, and never become ready")
    parser.add_argument("--ignore-sigterm", action="store_true")
    parser.add_argument("--grandchild", action="store_true", help="start one that ignores SIGTERM")
    parser.add_argument("--escape", action="store_true", help="the grandchild has its own session")
    return parser.parse_args()


async def serve(asked: argparse.Namespace) -> None:
    if asked.ignore_sigterm:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    server = rpc.Server((), max_concurrent_rpcs=8)
    port = await server.start("127.0.0.1", asked.port)
    await server.set_serving(not asked.unready)
    stopped = asyncio.create_task(rpc.wait_for_stop_signal()) if not asked.ignore_sigterm else None
    await asyncio.sleep(0)  # its handlers are in place before anybody is told to send a signal
    print(f"child {os.getpid()} listens on {port}", flush=True)
    await (stopped or asyncio.sleep(600))
    print("stopping", flush=True)
    await server.stop(1.0)


def main() -> None:
    asked = parse()
    if asked.exit_code is not None:
        print("no use going on", file=sys.stderr, flush=True)
        sys.exit(asked.exit_code)
    if asked.grandchild:
        sleeper = subprocess.Popen([sys.executable, "-c", SLEEPER], start_new_session=asked.escape)
        print(f"grandchild {sleeper.pid}", flush=True)
    asyncio.run(serve(asked))


if __name__ == "__main__":
    main()
