"""Run the PPM service: python -m services.ppm."""

import asyncio
import sys

from services.common import logs
from services.ppm.server import serve
from services.ppm.settings import PpmSettings


def main() -> None:
    """Serve until stopped; exits non-zero where that fails."""
    settings = PpmSettings()
    logs.configure("ppm", settings.log_level, settings.log_format)
    sys.exit(asyncio.run(serve(settings)))


if __name__ == "__main__":
    main()
