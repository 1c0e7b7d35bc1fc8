"""The running stack, as one object."""

from contextlib import AsyncExitStack
from types import TracebackType

from rstar.stack import preflight
from rstar.stack.config import Addresses, StackConfig, choose_addresses
from rstar.stack.journal import Journal
from rstar.stack.redis_server import RedisBusy, RedisFolder
from rstar.stack.services import stack_units
from rstar.stack.supervisor import Supervisor


class Stack:
    """Redis and the four services; an async context manager that enters when all are ready.

    Entering raises PreflightError with nothing started, or StartError with nothing left running.

    Attributes:
        at: where everything listens; set on entering.
        supervisor: what keeps it running; set on entering.
    """

    at: Addresses
    supervisor: Supervisor

    def __init__(self, config: StackConfig, journal: Journal) -> None:
        self._config = config
        self._journal = journal
        self._exits = AsyncExitStack()

    @property
    def url(self) -> str:
        """Base URL of the REST API."""
        return self.at.url

    async def __aenter__(self) -> "Stack":
        async with AsyncExitStack() as exits:
            folder = self._take_redis_folder()
            if folder:
                exits.callback(folder.close)
            self.at = choose_addresses(
                self._config, folder.url if folder else self._config.redis_url
            )
            await preflight.check(self._config, self.at, own_redis=folder is not None)
            self._config.reports_folder.mkdir(parents=True, exist_ok=True)
            units = stack_units(self._config, self.at, folder)
            self.supervisor = await exits.enter_async_context(Supervisor(units, self._journal))
            self._exits = exits.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._exits.aclose()

    def _take_redis_folder(self) -> RedisFolder | None:
        if self._config.redis_url:
            return None
        try:
            return RedisFolder(self._config.redis_folder)
        except (RedisBusy, OSError) as error:
            raise preflight.PreflightError(f"Redis: {error}; or choose another --home") from error
