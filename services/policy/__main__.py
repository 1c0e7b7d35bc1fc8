"""Run the policy service: python -m services.policy."""

import asyncio
import sys

from services.common import environment, rpc, telemetry
from services.policy.server import serve
from services.policy.settings import PolicySettings


def main() -> None:
    """Serve until stopped; exits non-zero where that fails, with 2 where a setting is refused."""
    settings = environment.read(PolicySettings)
    telemetry.configure("policy", settings)
    try:
        sys.exit(asyncio.run(serve(settings)))
    except rpc.AddressInUse as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
