"""Images without a registry: what their Dockerfiles start, over this environment's packages."""

import json
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from rstar.stack import redis_server

IMAGE_USER = 10001
REPO = Path(__file__).resolve().parents[3]
_DOCKERFILES = REPO / "deploy" / "docker"
_IMAGE = re.compile(r"(?:.*/)?(?P<name>[a-z]+):(?P<tag>\S+)")
_ENTRYPOINT = re.compile(r"^ENTRYPOINT (\[.*\])$", re.MULTILINE)


class UnknownImage(Exception):  # noqa: N818 - as a registry says
    """No such image."""


@dataclass(frozen=True, slots=True)
class Image:
    """What a container is started with: entry point, variables, and what is shown where."""

    entrypoint: list[str]
    env: dict[str, str]
    mounts: dict[str, str]


def find(reference: str, tools: Path) -> Image:
    """The image of a reference: one of ours by its Dockerfile, or Valkey.

    Args:
        reference: as in a pod's specification.
        tools: a folder with programs of their names in an image.
    """
    match = _IMAGE.fullmatch(reference)
    if match is None:
        raise UnknownImage(reference)
    packages = next(p for p in sys.path if p.endswith("site-packages"))
    mounts = {
        "/opt/site-packages": packages,
        "/opt/rstar": str(REPO),
        "/opt/tools": str(tools),
    }
    if sys.base_prefix != "/usr":  # which every container has
        mounts[sys.base_prefix] = sys.base_prefix  # where its libraries look for each other
    env = {
        "PATH": "/opt/tools:/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": "/opt/rstar:/opt/site-packages",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }
    if match["name"] == "valkey":
        return Image([], env, mounts)
    dockerfile = _DOCKERFILES / f"{match['name']}.Dockerfile"
    if not dockerfile.is_file():
        raise UnknownImage(reference)
    entries = _ENTRYPOINT.findall(dockerfile.read_text())
    return Image(json.loads(entries[-1]), env, mounts)


def give_to_user(folder: Path) -> None:
    """Let the images' user own a folder and all below it."""
    for path in (folder, *folder.rglob("*")):
        shutil.chown(path, IMAGE_USER, IMAGE_USER)


def make_tools(folder: Path, redis_cli: str) -> None:
    """Programs by the names that they have in the images."""
    folder.mkdir()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    (folder / "python").symlink_to(Path(sys.base_prefix) / "bin" / f"python{version}")
    for name, module in (("rstar", "rstar.main"), ("torchrun", "torch.distributed.run")):
        (folder / name).write_text(f'#!/bin/sh\nexec python -m {module} "$@"\n')
        (folder / name).chmod(0o755)
    server = redis_server.binary()
    packages = next(p for p in sys.path if p.endswith("site-packages"))
    (folder / "valkey-server").symlink_to(Path("/opt/site-packages") / server.relative_to(packages))
    (folder / "valkey-cli").symlink_to(redis_cli)
