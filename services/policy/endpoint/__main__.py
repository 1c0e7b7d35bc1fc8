"""Run the policy in front of an OpenAI-compatible server: python -m services.policy.endpoint."""

import asyncio
import logging
import sys

from services.common import environment, rpc, telemetry
from services.policy.endpoint.server import serve
from services.policy.endpoint.settings import BadKey, EndpointSettings


def main() -> None:
    """Serve until stopped; exits non-zero where that fails, with 2 where a setting is refused."""
    settings = environment.read(EndpointSettings)
    try:
        key = settings.key()
    except BadKey as error:
        environment.refuse([f"RSTAR_ENDPOINT_API_KEY_FILE: {error}"])
    telemetry.configure("policy", settings)
    # It would log a line for each request.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        sys.exit(asyncio.run(serve(settings, key)))
    except rpc.AddressInUse as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
