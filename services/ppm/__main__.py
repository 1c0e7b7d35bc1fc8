"""Run the PPM service: python -m services.ppm."""

import asyncio
import sys

from services.common import environment, rpc, telemetry
from services.ppm.server import serve
from services.ppm.settings import PpmSettings


def main() -> None:
    """Serve until stopped; exits non-zero where that fails, with 2 where a setting is refused."""
    settings = environment.read(PpmSettings)
    telemetry.configure("ppm", settings)
    try:
        sys.exit(asyncio.run(serve(settings)))
    except rpc.AddressInUse as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
