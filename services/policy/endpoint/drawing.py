"""Candidates of an endpoint: which requests are made for them, and what becomes of each reply."""

import contextlib
import re
from collections.abc import AsyncGenerator
from typing import Any, Final

import grpc

from services.common import logs, rpc
from services.policy.asks import Ask
from services.policy.candidates import Candidate
from services.policy.endpoint import prompts, replies
from services.policy.endpoint.client import Client, Refused
from services.policy.endpoint.reading import Ending, read
from services.policy.endpoint.settings import EndpointSettings
from services.policy.finished import as_finished

Numbered = tuple[int, Candidate]
"""A candidate and its index."""

_DISPENSABLE: Final = ("n", "seed", "stop", "logprobs")
_BAD_REQUEST: Final = frozenset({400, 403, 422})
_MISPLACED: Final = frozenset({0, 401, 402, 403, 404, 405})
_REDIRECTS: Final = range(300, 400)
_CUT: Final = frozenset({"length", "content_filter"})
# Many servers keep a seed in 32 bits with a sign.
_SEEDS: Final = 2**31

log = logs.get(__name__)


class Drawer:
    """Asks for candidates, and remembers which fields of a request the server does not take."""

    def __init__(self, client: Client, settings: EndpointSettings) -> None:
        self._client = client
        self._settings = settings
        self._lacks: set[str] = set() if settings.logprobs else {"logprobs"}

    @property
    def width(self) -> int:
        """Candidates that may be drawn at once, as far as is known."""
        each = 1 if "n" in self._lacks else self._settings.choices
        return self._settings.max_requests * each

    async def draw(self, ask: Ask, deadline: float) -> AsyncGenerator[list[Numbered], None]:
        """Yield candidates as they finish; leaving the iteration gives up the requests.

        Raises rpc.StatusError while it is iterated.
        """
        most = self._most_choices(ask)
        groups = [range(i, min(i + most, ask.count)) for i in range(0, ask.count, most)]
        works = [self._group(ask, group, deadline) for group in groups]
        async with contextlib.aclosing(as_finished(works)) as found:
            async for several in found:
                yield [one for group in several for one in group]

    def _most_choices(self, ask: Ask) -> int:
        # At temperature 0 all would be the same, and vLLM refuses to make several.
        several = "n" not in self._lacks and ask.sampling.temperature > 0
        return self._settings.choices if several else 1

    async def _group(self, ask: Ask, indices: range, deadline: float) -> list[Numbered]:
        """Candidates of one request, and of further ones where it brings fewer than it should."""
        drawn = await self._request(ask, indices, deadline)
        missing = indices[len(drawn) :]
        if not missing:
            return drawn
        self._note_lack("n")
        singly = [self._request(ask, range(index, index + 1), deadline) for index in missing]
        async with contextlib.aclosing(as_finished(singly)) as found:
            async for several in found:
                drawn += [one for group in several for one in group]
        return drawn

    async def _request(self, ask: Ask, indices: range, deadline: float) -> list[Numbered]:
        """One request, repeated without each field that the server turns out not to take."""
        while True:
            body = self._body(ask, indices)
            try:
                reply = replies.parse(await self._client.complete(body, deadline))
            except Refused as refused:
                lack = _lack(refused, body)
                if not lack:
                    raise _status(refused) from None
                self._note_lack(lack)
            else:
                return self._candidates(ask, indices, body, reply)

    def _candidates(
        self, ask: Ask, indices: range, body: dict[str, Any], reply: replies.Reply
    ) -> list[Numbered]:
        counts = replies.token_counts(reply)
        may_stop = any("# Step" in stop for stop in body.get("stop", ()))
        return [
            (index, self._candidate(ask, choice, tokens, may_stop=may_stop))
            for index, choice, tokens in zip(indices, reply.choices, counts, strict=False)
        ]

    def _candidate(
        self, ask: Ask, choice: replies.Choice, tokens: int, *, may_stop: bool
    ) -> Candidate:
        named = "stop_reason" in choice.model_fields_set
        stop = choice.stop_reason if isinstance(choice.stop_reason, str) else ""
        ending = Ending(choice.finish_reason in _CUT, may_stop, stop if named else None)
        api, most = self._settings.api, ask.sampling.max_steps
        return replies.candidate(choice, tokens, read(api, choice.written, ask.steps, most, ending))

    def _body(self, ask: Ask, indices: range) -> dict[str, Any]:
        api, sampling = self._settings.api, ask.sampling
        body: dict[str, Any] = {
            "model": self._settings.model,
            **prompts.prompt(api, ask.problem, ask.steps),
            self._settings.tokens_field: sampling.max_tokens,
            "temperature": sampling.temperature,
            "seed": sampling.seed_of(indices[0]) % _SEEDS,
            "logprobs": True if api == "chat" else 1,
        }
        if sampling.top_p < 1:
            body["top_p"] = sampling.top_p
        if len(indices) > 1:
            body["n"] = len(indices)
        if stops := prompts.stops(api, ask.steps, sampling.max_steps):
            body["stop"] = stops
        return {name: value for name, value in body.items() if name not in self._lacks}

    def _note_lack(self, field: str) -> None:
        if field not in self._lacks:
            log.warning("the endpoint does not take a field, left out from now on", field=field)
            self._lacks.add(field)


def _lack(refused: Refused, body: dict[str, Any]) -> str:
    """The field that a request was refused for and can do without; empty where there is none."""
    if refused.status not in _BAD_REQUEST:
        return ""
    for name in _DISPENSABLE:
        # Of a message, whole words alone: `n` is also the end of many.
        said = not refused.field and re.search(rf"(?<![\w\\.]){name}(?!\w)", refused.said)
        if name in body and (refused.field == name or said):
            return name
    return ""


def _status(refused: Refused) -> rpc.StatusError:
    """A refusal as the contract has it: what is set up wrongly, or a request that does not fit."""
    misplaced = refused.status in _MISPLACED or refused.status in _REDIRECTS
    code = grpc.StatusCode.FAILED_PRECONDITION if misplaced else grpc.StatusCode.INVALID_ARGUMENT
    return rpc.StatusError(code, f"the endpoint: {refused}")
