"""The API does what its OpenAPI document says, whatever it is asked: schemathesis."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.integration.search.conftest import StartRig
from tests.support import schemathesis_hooks

pytestmark = pytest.mark.asyncio(loop_scope="session")

EXAMPLES = 3
ADMIN = "an-admin-key-of-the-settings-0123456789"
CONFIG = Path(schemathesis_hooks.__file__).with_name("schemathesis.toml")


async def test_schemathesis_finds_nothing(rig: StartRig) -> None:
    async with rig(auth="keys", admin_key=ADMIN) as one:
        url = f"{one.client.base_url}/openapi.json"
        key = f"Authorization: Bearer {ADMIN}"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run", url),
            *("--header", key, "--max-examples", str(EXAMPLES), "--seed", "1"),
            *("--generation-database", "none", "--workers", "1", "--no-color"),
            *("--request-timeout", "10"),
            env={**os.environ, "SCHEMATHESIS_HOOKS": schemathesis_hooks.__name__},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        # The searches that it began and left.
        for search_id in list(one.manager.store.held):
            await one.manager.cancel(search_id)
        assert process.returncode == 0, said.decode()
