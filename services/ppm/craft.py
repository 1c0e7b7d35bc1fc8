"""How a version of the store becomes a served PPM, and how it is proved."""

import math
from pathlib import Path

from services.common.inference import engine
from services.common.inference.engine import Engine, EngineError
from services.common.inference.host import Craft
from services.common.models.errors import ModelError
from services.common.models.store import StoredModel
from services.common.steps import Step
from services.ppm.asks import Ask
from services.ppm.scorer import Served, score
from services.ppm.settings import PpmSettings

_PROOF = Ask("What is 1 + 1?", ((Step("# Step 1: Add\nprint(1 + 1)"),),))


def craft(settings: PpmSettings) -> Craft[Served]:
    """The PPM's part in loading a model."""

    async def start(folder: Path) -> Engine:
        return await engine.start(settings, folder, runner="pooling")

    async def warm(served: Served) -> None:
        """The proof has warmed it: prompts share no head."""

    return Craft(start, make, prove, warm)


def make(stored: StoredModel, running: Engine) -> Served:
    """What is served of a version by an engine that runs it.

    Raises:
        ModelError: its manifest has no scale.
    """
    manifest = stored.manifest
    if manifest.scale is None:
        raise ModelError(f"ppm {manifest.version!r}: its manifest has no scale")
    return Served(manifest.version, manifest.scale, running)


async def prove(served: Served) -> None:
    """One score.

    Raises:
        EngineError: it is no number: the weights are broken.
    """
    (one,) = await score(served, [_PROOF])
    if not math.isfinite(one.logit):
        raise EngineError(f"{served.version} computes no numbers: its weights are broken")
