"""Build a Kubernetes control plane from Debian's source package; prints the folder it is in.

No registry of binaries is needed: etcd and Go are Debian packages, Kubernetes is built from
Debian's source (1.20, about ten minutes on two cores) once and kept in the user's cache. For
`make test-cluster`, on Debian 12, as root or with sudo.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

VERSION = "1.20.5+really1.20.2-1.1+deb12u1"
NEEDED = ("etcd-server", "golang-1.19-go", "dpkg-dev", "rsync", "jq", "redis-tools", "iproute2")
PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
GO = "/usr/lib/go-1.19/bin"
BUILD_SECONDS = 3600
SOURCES = """Types: deb-src
URIs: http://deb.debian.org/debian
Suites: bookworm
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb-src
URIs: http://deb.debian.org/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""


def folder() -> Path:
    """Where the programs are, built if they are not yet."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rstar" / "tools"
    target = cache / "kubernetes-1.20.2"
    if not all((target / name).is_file() for name in PROGRAMS):
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as work:
            _build(Path(work), target)
    return target


def _build(work: Path, target: Path) -> None:
    """Fetch the source, build the three programs, put them in place."""
    _fetch(work)
    source = work / "source"
    package = source / ".go" / "src" / "k8s.io"
    package.mkdir(parents=True)
    (package / "kubernetes").symlink_to(source)
    environment = os.environ | {
        "GOPATH": str(source / ".go"),
        "PATH": f"{GO}:{os.environ['PATH']}",
        "HOME": str(work),
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=vendor",
        "KUBE_GIT_VERSION": "v1.20.2",
        "KUBE_GIT_TREE_STATE": "clean",
        "KUBE_GIT_MAJOR": "1",
        "KUBE_GIT_MINOR": "20",
    }
    what = " ".join(f"cmd/{name}" for name in PROGRAMS)
    _run("make", f"WHAT={what}", cwd=source, env=environment)
    target.mkdir(exist_ok=True)
    for name in PROGRAMS:
        shutil.copy2(source / "_output/local/bin/linux/amd64" / name, target / name)
    _run("chmod", "-R", "u+w", str(work))  # Go's module cache is read-only


def _fetch(work: Path) -> None:
    """Install what the build needs, and unpack the source."""
    _run(*_as_root(), "apt-get", "update", "-qq")
    _run(*_as_root(), "apt-get", "install", "-y", "-qq", "--no-install-recommends", *NEEDED)
    sources, lists = work / "debian.sources", work / "lists"
    sources.write_text(SOURCES)
    (lists / "partial").mkdir(parents=True)
    options = [
        *("-o", f"Dir::Etc::SourceList={sources}", "-o", "Dir::Etc::SourceParts=-"),
        *("-o", f"Dir::State::Lists={lists}"),
    ]
    _run("apt-get", *options, "update", "-qq", cwd=work)
    _run("apt-get", *options, "source", "--download-only", f"kubernetes={VERSION}", cwd=work)
    (description,) = work.glob("*.dsc")
    _run("dpkg-source", "-x", str(description), "source", cwd=work)


def _run(*command: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    """Run a command to its end; what it says goes to standard error."""
    subprocess.run(command, check=True, cwd=cwd, env=env, stdout=sys.stderr, timeout=BUILD_SECONDS)


def _as_root() -> list[str]:
    return [] if os.getuid() == 0 else ["sudo"]


if __name__ == "__main__":
    print(folder())
