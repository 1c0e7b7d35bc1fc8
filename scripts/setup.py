"""Make .venv and install the platform into it; needs Python alone, and does nothing when done.

What is installed follows from pyproject.toml and from the engine: vLLM for the GPU where an NVIDIA
driver answers, else vLLM for the CPU. A stamp in the environment records both, so a second run
returns at once and a change of either installs again.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - said in words, before anything newer is imported
    sys.exit(
        f"setup: Python 3.11 or newer is needed, and this is {sys.version.split()[0]}; "
        "name another one with `make PYTHON=python3.12 ...`"
    )

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import time
import tomllib
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STAMP = "rstar-setup.json"
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
PROBE_SECONDS = 5
GIB = 1024**3
# Measured on a clean clone (see README): the environment itself, and pip's cache and unpacking.
DISK_BYTES = {"cpu": 5 * GIB, "gpu": 20 * GIB}
MEMORY_BYTES = 7 * GIB
# These come with vLLM for pictures and sound; without their native half they break its import.
MEDIA = ("torchvision", "torchaudio", "torchcodec")


class SetupError(Exception):
    """What is missing, and what to do about it."""


def say(text: str) -> None:
    """Print one line of progress."""
    print(f"setup: {text}", flush=True)


def run(command: list[str], *, quiet: bool = False) -> bool:
    """Whether a command exists and succeeded; its output is shown unless quiet."""
    sink = subprocess.DEVNULL if quiet else None
    try:
        return subprocess.run(command, stdout=sink, stderr=sink, check=False).returncode == 0
    except FileNotFoundError:
        return False


def detect_engine() -> str:
    """`gpu` where the NVIDIA driver lists a device, else `cpu`."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return "cpu"
    try:
        listed = subprocess.run(
            [tool, "-L"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return "cpu"
    return "gpu" if listed.returncode == 0 and "GPU 0" in listed.stdout else "cpu"


def check_machine(engine: str, venv: Path) -> None:
    """Refuse, saying why, a machine that cannot hold it all; warn of little memory."""
    if sys.platform != "linux":
        raise SetupError(
            f"Linux is needed (the sandbox is built on its kernel); this is {sys.platform}"
        )
    free = shutil.disk_usage(venv.parent).free
    if free < DISK_BYTES[engine]:
        raise SetupError(
            f"{DISK_BYTES[engine] / GIB:.0f} GiB of free disk are needed under {venv.parent} "
            f"for the {engine} engine, and {free / GIB:.1f} are there"
        )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if memory < MEMORY_BYTES:
        wanted = MEMORY_BYTES / GIB
        say(f"warning: {memory / GIB:.1f} GiB of memory; the whole stack wants {wanted:.0f}")


def stamp_key(engine: str) -> str:
    """What an installation depends on, as a hash."""
    digest = hashlib.sha256((ROOT / "pyproject.toml").read_bytes())
    digest.update(f"{engine} {sys.version_info[:2]}".encode())
    return digest.hexdigest()


def installed(venv: Path, key: str) -> set[str]:
    """The extras that the stamp says are installed under this key."""
    try:
        stamp = json.loads((venv / STAMP).read_text())
    except (OSError, ValueError):
        return set()
    return set(stamp["extras"]) if stamp.get("key") == key else set()


def make_venv(venv: Path) -> Path:
    """The interpreter of a virtual environment that has pip; made where there is none."""
    python = venv / "bin" / "python"
    if run([str(python), "-m", "pip", "--version"], quiet=True):
        return python
    say(f"making {venv}")
    if run([sys.executable, "-m", "venv", "--clear", str(venv)], quiet=True):
        return python
    # Debian splits ensurepip off into python3-venv; the system's own pip can stand in for it.
    bare = run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(venv)], quiet=True)
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "pip"]
    if bare and run(pip):
        return python
    raise SetupError(
        f"{sys.executable} cannot make a virtual environment with pip; on Debian and Ubuntu: "
        "apt-get install python3-venv"
    )


def torch_pin() -> str:
    """The CPU build of torch that the cpu extra pins, as a requirement."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = [r for r in project["optional-dependencies"]["cpu"] if r.startswith("torch==")]
    return f"{pins[0].split(';')[0].strip()}+cpu"


def answers(url: str) -> bool:
    """Whether a host answers within PROBE_SECONDS."""
    request = urllib.request.Request(f"{url}/torch/", method="HEAD")  # noqa: S310 - a constant https URL
    try:
        with urllib.request.urlopen(request, timeout=PROBE_SECONDS):  # noqa: S310 - as above
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def torch_source(python: Path) -> list[str]:
    """The pip options with which torch's CPU build, which PyPI does not host, can be installed."""
    pin = torch_pin()
    probe = [str(python), "-m", "pip", "install", "--dry-run", "--quiet", "--no-deps", pin]
    if run(probe, quiet=True):
        return []
    if answers(TORCH_CPU_INDEX):
        return ["--extra-index-url", TORCH_CPU_INDEX]
    raise SetupError(
        f"no source for {pin} for Python {sys.version_info[0]}.{sys.version_info[1]}: pip's own "
        f"configuration has none, and {TORCH_CPU_INDEX} does not answer. In a closed network, put "
        "the wheel into a folder and run `pip config set global.find-links FOLDER`"
    )


def install(python: Path, extras: set[str], options: list[str]) -> None:
    """Install this checkout, editable, with extras."""
    target = f"{ROOT}[{','.join(sorted(extras))}]"
    bar = [] if sys.stdout.isatty() else ["--progress-bar", "off"]
    command = [str(python), "-m", "pip", "install", *bar, *options, "--editable", target]
    if not run(command):
        raise SetupError(
            "pip failed; what it said stands above. Running this again goes on from there"
        )


def drop_broken_media(python: Path) -> None:
    """Uninstall vLLM's media packages where their native half does not fit the installed torch."""
    if run([str(python), "-c", "import torchvision"], quiet=True):
        return
    say(f"removing {', '.join(MEDIA)}: they do not fit this torch, and nothing here uses them")
    run([str(python), "-m", "pip", "uninstall", "--yes", "--quiet", *MEDIA])


def folder_bytes(folder: Path) -> int:
    """What the files of a folder take on disk, in bytes."""
    files = (path.lstat() for path in folder.rglob("*"))
    return sum(status.st_blocks * 512 for status in files)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dev", action="store_true", help="also the tools of the checks and tests")
    parser.add_argument(
        "--engine",
        choices=["auto", "cpu", "gpu"],
        default=os.environ.get("RSTAR_ENGINE", "auto"),
        help="which build of vLLM (default: $RSTAR_ENGINE, else what this machine has)",
    )
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="default: .venv")
    return parser.parse_args()


def set_up(venv: Path, engine: str, *, dev: bool) -> None:
    """Bring the environment up to date."""
    key = stamp_key(engine)
    have = installed(venv, key)
    wanted = {"stack", engine, *(["dev"] if dev else [])}
    if wanted <= have and (venv / "bin" / "rstar").exists():
        return
    begun = time.monotonic()
    if not venv.exists():
        check_machine(engine, venv)
    python = make_venv(venv)
    extras = wanted | have
    say(f"installing {', '.join(sorted(extras))} with Python {sys.version.split()[0]}")
    install(python, extras, torch_source(python) if engine == "cpu" else [])
    drop_broken_media(python)
    (venv / STAMP).write_text(json.dumps({"key": key, "extras": sorted(extras)}))
    seconds, size = time.monotonic() - begun, folder_bytes(venv) / 1e9
    say(f"done in {seconds:.0f} s; {venv.name} takes {size:.1f} GB on disk")


def main() -> None:
    """Run the command line."""
    arguments = parse_arguments()
    engine = detect_engine() if arguments.engine == "auto" else arguments.engine
    try:
        set_up(arguments.venv.absolute(), engine, dev=arguments.dev)
    except SetupError as error:
        sys.exit(f"setup: {error}")


if __name__ == "__main__":
    main()
