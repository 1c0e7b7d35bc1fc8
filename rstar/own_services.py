"""Services of one's own for an evolution: a stack for each pair of models, none while it trains."""

import contextlib
import os
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace

from rstar.own_stack import own_stack
from rstar.stack.config import StackConfig
from rstar.stack.preflight import PreflightError
from rstar.stack.supervisor import StartError
from trainer.rounds.config import Bootstrap
from trainer.rounds.services import ServicesAbsent, Serving


class OwnServices:
    """Starts and stops stacks on this machine. Implements trainer.rounds.services.Services.

    Models of a round are trained on the same cores and in the same memory as they are served with,
    so nothing is served meanwhile.
    """

    def __init__(
        self, config: StackConfig, environment: Mapping[str, str], note: Callable[[str], None]
    ) -> None:
        """Args:
        config: of the stacks, but for their models; addresses are taken as they are free.
        environment: further variables of the services.
        note: is told what goes on.
        """
        self._config = replace(config, port=0, grpc_port=0)
        self._note = note
        # Units inherit this process' variables.
        os.environ.update(environment)

    @contextlib.asynccontextmanager
    async def serving(self, policy: str, ppm: str) -> AsyncIterator[Serving]:
        """A stack with these two versions."""
        config = replace(self._config, model=policy, ppm=ppm)
        async with self._stack(config, {"policy": policy, "ppm": ppm}) as where:
            yield where

    @contextlib.asynccontextmanager
    async def bootstrap(self, what: Bootstrap) -> AsyncIterator[Serving]:
        """A stack with a stronger model, or with a program in the policy's place."""
        if what.model:
            async with self.serving(what.model, "") as where:
                # It may be an alias, and what answers names its version.
                yield replace(where, models={})
            return
        config = replace(
            self._config,
            model="",
            ppm="",
            policy_module=what.module,
            policy_prefix=what.settings_prefix,
        )
        async with self._stack(config, {}) as where:
            yield where

    @contextlib.asynccontextmanager
    async def _stack(self, config: StackConfig, models: dict[str, str]) -> AsyncIterator[Serving]:
        async with contextlib.AsyncExitStack() as exits:
            try:
                stack = await exits.enter_async_context(own_stack(config, "evolve", self._note))
            except (PreflightError, StartError) as error:
                raise ServicesAbsent(str(error)) from error
            yield Serving(f"{stack.at.host}:{stack.at.search}", stack.at.redis_url, models)
