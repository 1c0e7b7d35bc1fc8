"""First process of a container: builds its file system, gives up its rights, becomes its program.

Run by root as process 1 of new mount, process, host name and network namespaces, with a
specification as JSON on standard input. The file system is made of this machine's `/usr`, the
interpreter, the packages and the checkout, all read-only, and the pod's volumes.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from services.sandbox import linux
from tests.support.container_profile import container_filter

ROOT = Path("/mnt")
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
LINKS = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}
ETC = ("passwd", "group", "nsswitch.conf", "ld.so.cache", "ssl", "alternatives")
SHM_BYTES = 64 << 20  # what container runtimes give


def mount(*arguments: str | Path) -> None:
    """Call mount(8)."""
    subprocess.run(["mount", *map(str, arguments)], check=True, timeout=30)


def bind(source: str | Path, target: Path, *, writable: bool) -> None:
    """Show a file or folder at a place."""
    if Path(source).is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    mount("--bind", source, target)
    if not writable:
        mount("-o", "remount,bind,ro", target)


def build(image: dict[str, str], mounts: list[dict[str, Any]], etc: Path) -> None:
    """Make the container's file system below ROOT."""
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", ROOT)
    for link, target in LINKS.items():
        (ROOT / link).symlink_to(target)
    bind("/usr", ROOT / "usr", writable=False)
    for name in ETC:
        if (there := Path("/etc") / name).exists():
            bind(there, ROOT / "etc" / name, writable=False)
    for name in ("resolv.conf", "hosts"):
        bind(etc / name, ROOT / "etc" / name, writable=False)
    for target, source in image.items():
        bind(source, ROOT / target.lstrip("/"), writable=False)
    for device in DEVICES:
        bind(f"/dev/{device}", ROOT / "dev" / device, writable=True)
    (ROOT / "dev/shm").mkdir()
    mount("-t", "tmpfs", "-o", f"mode=1777,size={SHM_BYTES}", "tmpfs", ROOT / "dev/shm")
    (ROOT / "dev/fd").symlink_to("/proc/self/fd")
    (ROOT / "proc").mkdir()
    mount("-t", "proc", "proc", ROOT / "proc")
    bind("/sys", ROOT / "sys", writable=False)
    (ROOT / "tmp").mkdir(mode=0o1777)  # every image has one, where it is the working directory
    for one in sorted(mounts, key=lambda one: str(one["path"])):
        bind(one["source"], ROOT / one["path"].lstrip("/"), writable=not one["readOnly"])


def main() -> None:
    """Become the program that standard input names."""
    spec = json.load(sys.stdin)
    socket.sethostname(spec["hostname"])
    build(spec["image"], spec["mounts"], Path(spec["etc"]))
    if spec["readOnlyRoot"]:
        mount("-o", "remount,ro", ROOT)
    os.chroot(ROOT)
    os.chdir(spec["workingDir"])
    with open(os.devnull) as nothing:  # noqa: PTH123 - a descriptor is wanted
        os.dup2(nothing.fileno(), 0)
    linux.seccomp_install(container_filter(linux.machine()))
    rights = [
        *(f"--reuid={spec['user']}", f"--regid={spec['group']}"),
        *("--clear-groups", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"),
    ]
    os.execve("/usr/bin/setpriv", ["setpriv", *rights, "--", *spec["command"]], spec["env"])  # noqa: S606 - no shell


if __name__ == "__main__":
    main()
