"""The units of the stack: Redis and the four services, each with its environment."""

import os
import sys

from rstar.stack.config import LOOPBACK, POLICY_MODULE, Addresses, StackConfig
from rstar.stack.readiness import grpc_probe, http_probe, redis_probe
from rstar.stack.redis_server import RedisFolder
from rstar.stack.unit import Unit

UNIT_NAMES = ["redis", "sandbox", "policy", "ppm", "search"]
REDIS_SECONDS = 60.0
SMALL_SERVICE_SECONDS = 120.0


def environment(config: StackConfig, name: str, **fields: object) -> dict[str, str]:
    """A service's environment: this process' own, with the settings RSTAR_<NAME>_<FIELD>."""
    settings = {"log_level": config.log_level, "log_format": config.log_format, **fields}
    return {
        **os.environ,
        "RSTAR_HOME": str(config.home),
        "PYTHONUNBUFFERED": "1",
        **{f"RSTAR_{name}_{key}".upper(): str(value) for key, value in settings.items()},
    }


def service_command(name: str) -> tuple[str, ...]:
    """The command that runs one service in the foreground."""
    return (sys.executable, "-m", f"services.{name}")


def redis_unit(folder: RedisFolder) -> Unit:
    """A Redis of the stack's own."""
    return Unit(
        "redis",
        folder.command(),
        dict(os.environ),
        redis_probe(folder.url),
        folder.url,
        start_seconds=REDIS_SECONDS,
    )


def grpc_unit(
    config: StackConfig, name: str, port: int, start_seconds: float, **fields: object
) -> Unit:
    """A service that speaks gRPC alone; fields are settings of its own."""
    target = f"{LOOPBACK}:{port}"
    return Unit(
        name,
        service_command(name),
        environment(config, name, host=LOOPBACK, port=port, **fields),
        grpc_probe(target),
        target,
        start_seconds=start_seconds,
    )


def policy_unit(config: StackConfig, at: Addresses) -> Unit:
    """The policy, or the program that stands in its place."""
    if config.policy_module == POLICY_MODULE:
        fields = {"model": config.model, "store": config.store_folder, "redis_url": at.redis_url}
        return grpc_unit(config, "policy", at.policy, config.start_seconds, **fields)
    target = f"{LOOPBACK}:{at.policy}"
    return Unit(
        "policy",
        (sys.executable, "-m", config.policy_module),
        environment(config, config.policy_prefix, host=LOOPBACK, port=at.policy),
        grpc_probe(target),
        target,
        start_seconds=config.start_seconds,
    )


def search_unit(config: StackConfig, at: Addresses, *, own_redis: bool) -> Unit:
    """The search, which is ready when all that it needs is."""
    return Unit(
        "search",
        service_command("search"),
        environment(
            config,
            "search",
            host=at.host,
            port=at.rest,
            grpc_port=at.search,
            redis_url=at.redis_url,
            policy_target=f"{LOOPBACK}:{at.policy}",
            ppm_target=f"{LOOPBACK}:{at.ppm}",
            sandbox_target=f"{LOOPBACK}:{at.sandbox}",
            reports=config.reports_folder,
        ),
        http_probe(f"{at.url}/ready"),
        at.url,
        after=("redis",) if own_redis else (),
        needs=("policy", "ppm", "sandbox"),
        start_seconds=config.start_seconds + SMALL_SERVICE_SECONDS,
    )


def stack_units(config: StackConfig, at: Addresses, folder: RedisFolder | None) -> list[Unit]:
    """Everything that runs; without a Redis where one's own is used."""
    small, large = SMALL_SERVICE_SECONDS, config.start_seconds
    store = config.store_folder
    return [
        *([redis_unit(folder)] if folder else []),
        grpc_unit(config, "sandbox", at.sandbox, small),
        policy_unit(config, at),
        grpc_unit(
            config, "ppm", at.ppm, large, model=config.ppm, store=store, redis_url=at.redis_url
        ),
        search_unit(config, at, own_redis=folder is not None),
    ]
