"""Moving aliases: `rstar models alias|promote|rollback|history`, and who did it."""

import getpass
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from services.common.models.aliases import PREVIOUS, PRODUCTION, Move
from services.common.models.errors import ModelError, ModelNotFound
from services.common.models.manifest import Kind
from services.common.models.store import ModelStore

if TYPE_CHECKING:
    from trainer.promotion import Verdict


class PromotionRefused(ModelError):  # noqa: N818 - what happened
    """The gate does not let a version through; the message says why."""


def who() -> str:
    """The person at this terminal, as histories name them; in a container perhaps a bare number."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # Python before 3.13, and since
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"


def point(store: ModelStore, kind: Kind, alias: str, version: str, *, reason: str = "") -> Move:
    """Point an alias to a version that is whole, with no gate; `production` has one of its own."""
    if alias == PRODUCTION:
        raise ModelError("production moves by promote and rollback")
    return _move(store, kind, alias, version, reason=reason)


def promote(
    store: ModelStore,
    kind: Kind,
    version: str,
    *,
    run: Path | None,
    baseline: Path | None,
    force: bool = False,
) -> Move:
    """Make a version production, if the gate lets it through.

    Args:
        store: of the version.
        kind: of the version.
        version: or an alias, `candidate` say.
        run: folder of its evaluation.
        baseline: folder of production's evaluation on the same problems.
        force: pass over the gate; the history says so.

    Raises:
        PromotionRefused: it is worse, or there is nothing to judge it by.
        ModelError: the version cannot be had.
    """
    target = store.resolve(kind, version)
    current = store.aliases.target(kind, PRODUCTION)
    if current == target:
        raise ModelError(f"{kind} {target!r} is in production already")
    if current is None:
        return _move(store, kind, PRODUCTION, target, reason="the first in production")
    if run is None or baseline is None:
        if not force:
            raise PromotionRefused(
                "promotion compares two evaluations: give --run and --baseline (folders of "
                "`rstar eval`), or --force"
            )
        return _move(store, kind, PRODUCTION, target, reason="no gate was run", forced=True)
    verdict = _judge(kind, (target, run), (current, baseline))
    if not verdict.passed and not force:
        raise PromotionRefused(f"{kind} {target!r} is worse than {current!r}: {verdict}")
    reason = str(verdict)
    return _move(store, kind, PRODUCTION, target, reason=reason, forced=not verdict.passed)


def rollback(store: ModelStore, kind: Kind, *, reason: str = "rolled back") -> Move:
    """Point production to where it pointed before."""
    before = store.aliases.target(kind, PREVIOUS)
    if before is None:
        raise ModelNotFound(f"no {kind} was in production before")
    return _move(store, kind, PRODUCTION, before, reason=reason)


def _move(
    store: ModelStore,
    kind: Kind,
    alias: str,
    version: str,
    *,
    reason: str,
    forced: bool = False,
) -> Move:
    if version in set(store.aliases.of(kind)):
        version = store.resolve(kind, version)
    store.open(kind, version)
    return store.aliases.move(
        kind,
        alias,
        version,
        by=who(),
        expect=store.aliases.target(kind, alias),
        reason=reason,
        forced=forced,
    )


def _judge(kind: Kind, candidate: tuple[str, Path], baseline: tuple[str, Path]) -> "Verdict":
    from trainer.evaluation.records import RunError, read_records
    from trainer.promotion import GateError, judge

    try:
        first, second = ((version, read_records(path)) for version, path in (candidate, baseline))
        return judge(kind, first, second)
    except (RunError, GateError) as error:
        raise PromotionRefused(str(error)) from None
