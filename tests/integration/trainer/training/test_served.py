"""What was trained is what is served: the PPM service gives the same logits, on the same tokens."""

import math
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from services.common.models.store import ModelStore
from services.common.pb.ppm.v1 import ppm_pb2 as pb
from services.common.pb.ppm.v1 import ppm_pb2_grpc as pb_grpc
from services.ppm.servicer import NAME
from tests.integration.trainer.training.conftest import BATCHES
from tests.support.model_service import connect, started
from trainer.training import ppm
from trainer.training.data import PairGroup
from trainer.training.files import read
from trainer.training.settings import PpmSettings
from trainer.training.texts import judged
from trainer.training.tokens import encode_judged

pytestmark = [pytest.mark.model, pytest.mark.timeout(600)]


def solutions(group: PairGroup) -> list[pb.PartialSolution]:
    return [
        pb.PartialSolution(
            steps=[
                pb.Step(text=one.text, ends_code=one.ends_code, output=one.output)
                for one in (*group.prefix, *member.steps)
            ]
        )
        for member in group.members
    ]


async def test_a_trained_ppm_is_served_with_the_same_scores(
    rows: Path, trained_policy: Path, tmp_path: Path
) -> None:
    settings = PpmSettings(
        **BATCHES,
        data=(rows / "groups.parquet",),
        base=trained_policy / "model",
        output=tmp_path / "out",
        epochs=4,
        learning_rate=3e-3,
    )
    manifest = ppm.train(settings)
    folder = settings.output / "model"
    assert manifest.scale is not None
    ModelStore(tmp_path / "store").publish(
        "ppm",
        "toy-r1",
        folder,
        licence="Apache-2.0",
        scale=manifest.scale,
        metrics=manifest.numbers,
    )
    groups = read(rows / "groups.parquet", PairGroup)[:6]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    trained = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    ids = [encode_judged(tokenizer, text) for group in groups for text in judged(group)]
    with torch.no_grad():
        expected = [trained(torch.tensor([one])).logits.item() for one in ids]
    assert max(expected) - min(expected) > 1

    # In the type that the expected scores were computed in.
    served = {
        "store": tmp_path / "store",
        "model": "toy-r1",
        "kv_cache_gib": 0.1,
        "dtype": "float32",
    }
    async with started("ppm", tmp_path / "log", **served) as server:
        channel = await connect(server, NAME)
        stub = pb_grpc.PpmServiceStub(channel)
        scores = []
        for group in groups:
            request = pb.ScoreRequest(
                search_id="test", problem=group.question, solutions=solutions(group)
            )
            scores += (await stub.Score(request, timeout=120)).scores
        await channel.close()

    assert [one.tokens for one in scores] == [len(one) for one in ids]
    assert [one.logit for one in scores] == pytest.approx(expected, abs=2e-3)
    values = [math.tanh(logit / manifest.scale) for logit in expected]
    assert [one.value for one in scores] == pytest.approx(values, abs=2e-3)
