import asyncio
import contextlib
import os
import select
import signal
import sys
from pathlib import Path

import pytest

from services.common.models.errors import ModelExists
from services.common.models.store import ModelStore
from tests.support.folders import make_folder
from trainer.rounds import learning
from trainer.rounds.results import Trained
from trainer.training.stage import StageManifest


def published(where: Path, numbers: bytes) -> Trained:
    """A round's model with these weights, as the round publishes it."""
    training = where / "training"
    make_folder(training / "model", numbers=numbers)
    data = where / "solutions.parquet"
    data.write_bytes(b"rows")
    manifest = StageManifest(
        stage="policy", inputs={}, settings={}, rows={"train": 1}, metrics={}, seconds=1.0
    )
    return learning.publish(
        ModelStore(where / "store"),
        "policy",
        "try-r1",
        training,
        manifest,
        data=data,
        number=1,
        licence="MIT",
        base="base",
    )


def test_the_same_model_is_published_once(tmp_path: Path) -> None:
    first = published(tmp_path, b"\x00\x01\x02\x03")
    assert published(tmp_path, b"\x00\x01\x02\x03") == first


def test_another_model_never_passes_for_the_one_that_has_its_name(tmp_path: Path) -> None:
    """Trained on the same rows with other settings, say: the store still has the old one."""
    published(tmp_path, b"\x00\x01\x02\x03")
    with pytest.raises(ModelExists, match="try-r1"):
        published(tmp_path, b"\x00\x01\x02\x04")


TRAINS_FOR_EVER = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
CALLER = f"""
import asyncio, sys
from pathlib import Path
from trainer.rounds import learning
asyncio.run(learning._run([sys.executable, "-c", {TRAINS_FOR_EVER!r}], Path(sys.argv[1])))
"""


async def test_a_training_ends_with_a_killed_caller(tmp_path: Path) -> None:
    """Else the evolution that goes on would train beside it, in the same folder."""
    log = tmp_path / "training.log"
    caller = await asyncio.create_subprocess_exec(sys.executable, "-c", CALLER, str(log))
    async with asyncio.timeout(60):
        while not (log.exists() and log.read_text().endswith("\n")):
            await asyncio.sleep(0.05)
    training = os.pidfd_open(int(log.read_text()))
    try:
        caller.kill()
        await caller.wait()
        ended, _, _ = await asyncio.to_thread(select.select, [training], [], [], 30.0)
        assert ended, "the training has outlived its caller"
    finally:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(training, signal.SIGKILL)
        os.close(training)


async def test_a_training_that_fails_names_its_log(tmp_path: Path) -> None:
    with pytest.raises(learning.TrainingFailed, match=r"at fault.*policy-training\.log"):
        await learning.train("policy", {"epochs": 0}, tmp_path, tmp_path, tmp_path / "policy")
    assert "epochs" in (tmp_path / "policy-training.log").read_text()
