"""Services that follow an alias, at the edge of the network: what their `Info` says, in order."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from services.common.models.store import ModelStore
from services.common.pb.search.v1 import search_pb2 as pb
from tests.support.folders import make_folder
from trainer.evaluation.service import SolveFailed
from trainer.rounds import named_services
from trainer.rounds.config import Bootstrap, Services
from trainer.rounds.named_services import NamedServices
from trainer.rounds.services import ServicesAbsent

BUSY = SolveFailed(grpc.StatusCode.DEADLINE_EXCEEDED, "reloading")


class Answers:
    """Gives one answer after the other, the last one for ever."""

    def __init__(self, *answers: pb.InfoResponse | SolveFailed) -> None:
        self.left = list(answers)

    async def info(self) -> pb.InfoResponse:
        answer = self.left.pop(0) if len(self.left) > 1 else self.left[0]
        if isinstance(answer, SolveFailed):
            raise answer
        return answer


def named(where: Path, answers: Answers, monkeypatch: pytest.MonkeyPatch) -> NamedServices:
    @contextlib.asynccontextmanager
    async def connect(target: str, patience: float) -> AsyncIterator[Answers]:
        yield answers

    monkeypatch.setattr(named_services, "connect", connect)
    monkeypatch.setattr(named_services, "_LOOK_SECONDS", 0.01)
    store = ModelStore(where / "store")
    store.publish("policy", "try-r1", make_folder(where / "r1"), licence="MIT", prompt_style="bare")
    settings = Services(search="a:1", redis_url="redis://c", reload_seconds=0.2)
    return NamedServices(settings, store, by="test")


async def test_a_reload_is_waited_for_through_errors_and_old_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = Answers(BUSY, pb.InfoResponse(policy="old"), pb.InfoResponse(policy="try-r1"))
    services = named(tmp_path, answers, monkeypatch)
    async with services.serving("try-r1", "") as where:
        assert where.target == "a:1"
        assert where.models == {"policy": "try-r1", "ppm": ""}
    assert ModelStore(tmp_path / "store").aliases.target("policy", "candidate") == "try-r1"


async def test_a_bootstrap_that_is_an_alias_is_the_version_it_points_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = named(tmp_path, Answers(pb.InfoResponse(policy="try-r1")), monkeypatch)
    aliases = ModelStore(tmp_path / "store").aliases
    aliases.move("policy", "strong", "try-r1", by="test", expect=None)
    async with services.bootstrap(Bootstrap(model="strong")) as where:
        assert where.models == {"policy": "try-r1", "ppm": ""}
    assert aliases.target("policy", "candidate") == "try-r1"


@pytest.mark.parametrize(
    ("answer", "said"),
    [(BUSY, "DEADLINE_EXCEEDED: reloading"), (pb.InfoResponse(policy="old"), "policy 'old'")],
)
async def test_services_that_never_serve_it_are_absent(
    answer: pb.InfoResponse | SolveFailed,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    services = named(tmp_path, Answers(answer), monkeypatch)
    with pytest.raises(ServicesAbsent, match=rf"a:1 .*{said}.* not 'try-r1'.*'candidate'"):
        async with services.serving("try-r1", ""):
            pass
