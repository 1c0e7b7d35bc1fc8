from pathlib import Path

import pytest
from pydantic import BaseModel

from trainer.rounds.stage import BadStage, once


class Number(BaseModel):
    value: int


class Counter:
    def __init__(self) -> None:
        self.calls = 0

    async def work(self) -> Number:
        self.calls += 1
        return Number(value=self.calls)


async def test_a_stage_is_done_once(tmp_path: Path) -> None:
    counter = Counter()
    path = tmp_path / "round-1" / "select.json"
    first, seconds = await once(path, Number, {"a": 1}, counter.work)
    second, same = await once(path, Number, {"a": 1}, counter.work)
    assert first == second == Number(value=1)
    assert seconds == same
    assert counter.calls == 1


async def test_a_stage_that_failed_is_done_again(tmp_path: Path) -> None:
    async def fails() -> Number:
        raise OSError("no space")

    path = tmp_path / "select.json"
    with pytest.raises(OSError, match="no space"):
        await once(path, Number, {}, fails)
    result, _ = await once(path, Number, {}, Counter().work)
    assert result.value == 1


async def test_other_inputs_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "select.json"
    await once(path, Number, {"seed": 1}, Counter().work)
    with pytest.raises(BadStage, match="another configuration"):
        await once(path, Number, {"seed": 2}, Counter().work)


async def test_a_damaged_manifest_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "select.json"
    path.write_text('{"inputs": 1')
    with pytest.raises(BadStage, match=r"select\.json"):
        await once(path, Number, {}, Counter().work)
