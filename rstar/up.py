"""`rstar up`: the whole stack until it is told to stop."""

import asyncio
import sys

from rstar.own_ppm import with_ppm
from rstar.stack.config import StackConfig
from rstar.stack.journal import Journal
from rstar.stack.preflight import PreflightError
from rstar.stack.services import UNIT_NAMES
from rstar.stack.stack import Stack
from rstar.stack.supervisor import StartError

FAILED = 1


async def up(config: StackConfig) -> int:
    """Run the stack until cancelled; the exit code."""
    journal = Journal(UNIT_NAMES, form=config.log_format)
    config = await asyncio.to_thread(with_ppm, config, journal.say)
    try:
        async with Stack(config, journal) as stack:
            journal.say(f"POST {stack.url}/solve, or: {_example(stack.url)}")
            try:
                await stack.supervisor.wait()
            finally:
                journal.say("stopping; once more kills")
    except PreflightError as error:
        for line in str(error).splitlines():
            print(f"rstar up: {line}", file=sys.stderr)
        return FAILED
    except StartError as error:
        journal.say(f"giving up: {error}")
        return FAILED


def _example(url: str) -> str:
    return f'rstar solve --url {url} "What is 17 * 23?"'
