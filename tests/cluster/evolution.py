"""The smallest evolution of the laboratory, as the chart's Job is given it."""

from pathlib import Path
from typing import Any

from services.common.models.manifest import Kind
from services.common.models.store import ModelStore
from tests.cluster.kubelet.images import give_to_user
from trainer.lab.base import VERSION as BASE
from trainer.lab.base import shipped_base
from trainer.lab.problems import generate, write
from trainer.rounds.evolve import read_round, round_folder
from trainer.rounds.results import RoundResult

ALIAS = "candidate"
NAME = "tiny"
ROUNDS = 2
_PROBLEMS, _HELD_OUT = 24, 8
_LEVELS = (1,)


class Evolution:
    """Models and problems on the release's volumes, and what the Job makes of them."""

    def __init__(self, volumes: Path) -> None:
        """Below the folder of all volumes."""
        self._models, self._data = volumes / "models", volumes / "data"
        self.store = ModelStore(str(self._models))
        self._rounds = self._data / "rounds"
        self.harvested = round_folder(self._rounds, 1) / "harvest.json"

    def prepare(self) -> None:
        """Publish the base, let the alias point to it if to nothing yet, write the problems."""
        shipped_base(self.store)
        if self.store.aliases.target("policy", ALIAS) is None:
            self.store.aliases.move("policy", ALIAS, BASE, by="the test", expect=None)
        write(self._data / "train.jsonl", list(generate(_PROBLEMS, "train", 1, _LEVELS)))
        write(self._data / "held_out.jsonl", list(generate(_HELD_OUT, "held_out", 2, _LEVELS)))
        give_to_user(self._models)
        give_to_user(self._data)

    def question(self) -> str:
        """A problem that the models can read."""
        (first,) = generate(1, "train", 3, _LEVELS)
        return first.question

    def served(self) -> dict[str, Any]:
        """Values of a release whose services follow the alias."""
        model = {"kv_cache_gib": 0.25}
        return {
            "search__settings__candidate_tokens": 160,
            "policy__pools__main__model": ALIAS,
            "policy__pools__main__settings": model,
            "ppm__enabled": True,
            "ppm__model": ALIAS,
            "ppm__settings": model,
            "ppm__env": [{"name": "HF_HUB_OFFLINE", "value": "1"}],
            "ppm__drainSeconds": 10,
        }

    def values(self) -> dict[str, Any]:
        """The same, with the Job."""
        return self.served() | {
            "trainer__evolution__enabled": True,
            "trainer__evolution__config": self._config(),
            "trainer__data__persistence": {"size": "2Gi"},
            "trainer__env": [{"name": "OMP_NUM_THREADS", "value": "1"}],
        }

    def _config(self) -> dict[str, Any]:
        training = {
            "batch": 8,
            "micro_batch": 8,
            "learning_rate": 1e-3,
            "max_tokens": 512,
            "save_as": "float32",
            "report_to": [],
        }
        options = {"candidates": 4, "temperature": 1.0, "expansion": "trajectory"}
        search = {"tokens": 2000, "seconds": 300, "options": options}
        return {
            "name": NAME,
            "folder": "/data/rounds",
            "seed": 1,
            "base": BASE,
            "bootstrap": {"model": BASE},
            "alias": "production",
            "gate": False,
            "harvest": {"problems": {"file": "/data/train.jsonl"}, "search": search},
            "policy": training | {"epochs": 2},
            "ppm": training | {"epochs": 1},
            "evaluation": {
                "problems": {"file": "/data/held_out.jsonl"},
                "search": {"rollouts": 2, "tokens": 120, "seconds": 300, "options": options},
            },
            "rounds": [{"guidance": "answer", "ladder": [{"rollouts": 2}]}] * ROUNDS,
        }

    def versions(self, kind: Kind, alias: str) -> list[str]:
        """What an alias has pointed to, in order."""
        return [move.version for move in self.store.aliases.history(kind, alias)]

    def results(self) -> list[RoundResult | None]:
        """Of each round; None for one that is not done."""
        return [read_round(self._rounds, number + 1) for number in range(ROUNDS)]
