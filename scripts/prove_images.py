"""Prove what the images hold, without a container engine.

For each Dockerfile, what it installs is installed alone into an empty virtual environment, every
module of the deployable is imported there, and its entry point is started as the image would start
it: as user 10001 (where root runs this), without a home, without anything of this checkout. Then it
is asked for what only a working one can do. Prints the size of each environment.

`make` does not run this: the environments of the models take gigabytes and minutes.
"""

import argparse
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from scripts.setup import MEDIA, folder_bytes, torch_pin, torch_source
from services.common.home import home
from services.common.pb.sandbox.v1 import sandbox_pb2, sandbox_pb2_grpc

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILES = ROOT / "deploy" / "docker"
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
    "optional-dependencies"
]
USER = 10001
# Who is not root cannot become another, and is none that could do more.
AS_USER = USER if os.geteuid() == 0 else None
CALL_SECONDS = 300
FORBIDDEN = {"search": ("torch", "vllm", "numpy"), "sandbox": ("torch", "vllm", "redis")}
IMPORT_ALL = """
import importlib, pkgutil, sys
for name in sys.argv[1].split(","):
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
forbidden = [name for name in sys.argv[2].split(",") if name in sys.modules]
sys.exit(f"imported: {forbidden}" if forbidden else 0)
"""


class NotProven(Exception):  # noqa: N818 - what was found
    """An image that would not do its work; says which and why."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found of one image.

    Attributes:
        image: its Dockerfile's name.
        packages: distributions in the environment.
        megabytes: size of the environment on disk.
        seconds: from the start of the process to its first right answer.
        answer: what it answered.
    """

    image: str
    packages: int
    megabytes: int
    seconds: float
    answer: str


def requirement(image: str) -> str:
    """The extras that the CPU variant of an image installs, as `.[...]` names them."""
    text = (DOCKERFILES / f"{image}.Dockerfile").read_text("utf-8")
    found: list[str] = re.findall(r'"\.\[([\w,]+)\]"', text)
    if not found:
        raise NotProven(f"{image}: its Dockerfile installs no extra")
    return found[0]


def environment(image: str, folder: Path, base: str) -> Path:
    """An environment with what the image has and nothing else; its interpreter."""
    extras = requirement(image)
    # Policy and PPM are of one extra each, and these ask for the same.
    same = EXTRAS["policy"] == EXTRAS["ppm"]
    venv = folder / (extras.replace("ppm", "policy") if same else extras).replace(",", "-")
    python = venv / "bin" / "python"
    if (venv / "whole").exists():
        return python
    subprocess.run([base, "-m", "venv", "--clear", "--without-pip", str(venv)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    options, wanted = [], [f"{ROOT}[{extras}]"]
    if image not in FORBIDDEN:
        options = torch_source(Path(sys.executable))
        wanted.append(torch_pin())
    subprocess.run([*pip, *options, *wanted], check=True, cwd=folder)
    if "cpu" in extras.split(","):
        # As the Dockerfile does: they break every import beside this torch.
        pip[-2:] = ["uninstall", "--yes"]
        subprocess.run([*pip, "--quiet", *MEDIA], check=True)
    (venv / "whole").touch()
    return python


def clean(**more: str) -> dict[str, str]:
    """The environment variables of a container, as far as one has any."""
    return {"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/nonexistent", **more}


def called(command: list[str], scratch: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """A command that has ended, run as the image's user; `more` are variables of its own."""
    return subprocess.run(
        command,
        cwd=scratch,
        env=clean(**more),
        capture_output=True,
        text=True,
        timeout=CALL_SECONDS,
        user=AS_USER,
        group=AS_USER,
    )


@contextlib.contextmanager
def started(python: Path, service: str, scratch: Path, **settings: str) -> Iterator[None]:
    """A service's process; NotProven where it ends by itself or does not end when told to."""
    prefix = f"RSTAR_{service.upper()}_"
    variables = {f"{prefix}{name.upper()}": value for name, value in settings.items()}
    log = scratch / f"{service}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(python), "-m", f"services.{service}"],
            cwd=scratch,
            env=clean(TMPDIR=str(scratch), RSTAR_HOME=str(scratch / "home"), **variables),
            stdout=out,
            stderr=subprocess.STDOUT,
            user=AS_USER,
            group=AS_USER,
        )
        try:
            yield
            process.terminate()
            code = process.wait(timeout=60)
        except (NotProven, OSError, grpc.RpcError, subprocess.TimeoutExpired) as error:
            tail = log.read_text("utf-8", "replace")[-2000:]
            raise NotProven(f"{service}: {error}; it said:\n{tail}") from error
        finally:
            process.kill()
            process.wait()
    if code:
        raise NotProven(f"{service}: ended with {code} when it was told to stop")


def until(ask: Callable[[], str | None], seconds: float) -> str:
    """The first answer that is not None; TimeoutError after so many seconds."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        if (answer := ask()) is not None:
            return answer
        time.sleep(0.2)
    raise TimeoutError(f"no right answer within {seconds:.0f} s")


def ask_search(port: int) -> str | None:
    """What an unconnected search has to say of its dependencies."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=10):
            raise NotProven("search: says that it is ready, without any dependency")
    except urllib.error.HTTPError as error:
        parts = json.loads(error.read())["dependencies"]
        return "not ready, waits for " + ", ".join(n for n in parts if not parts[n]["ready"])
    except OSError:
        return None


def ask_health(port: int) -> str | None:
    """SERVING, once it is."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            reply = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=5
            )
        except grpc.RpcError:
            return None
    return "SERVING" if reply.status == health_pb2.HealthCheckResponse.SERVING else None


def ask_sandbox(port: int) -> str | None:
    """What a step printed."""
    if ask_health(port) is None:
        return None
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = sandbox_pb2_grpc.SandboxServiceStub(channel)
        session = "proof"
        stub.OpenSession(sandbox_pb2.OpenSessionRequest(session_id=session), timeout=30)
        code = "import numpy, sympy\nprint(sympy.factorint(391), int(numpy.sum([40, 2])))"
        step = sandbox_pb2.CodeStep(node_id="a", code=code)
        reply = stub.Run(sandbox_pb2.RunRequest(session_id=session, step=step), timeout=30)
        stub.CloseSession(sandbox_pb2.CloseSessionRequest(session_id=session), timeout=30)
    if reply.status != sandbox_pb2.STATUS_OK:
        raise NotProven(f"sandbox: a step ended as {reply}")
    return f"a step printed {reply.output.strip()}"


def start_service(python: Path, image: str, scratch: Path, options: argparse.Namespace) -> str:
    """Start an image's service and ask it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    settings = {"port": str(port)}
    ask: Callable[[int], str | None] = ask_health
    if image == "search":
        settings |= {"grpc_port": "0", "redis_url": "redis://127.0.0.1:1/0"}
        ask = ask_search
    if image == "sandbox":
        ask = ask_sandbox
    if image == "policy":
        settings |= {"model": options.model, "store": str(options.store)}
    with started(python, image, scratch, **settings):
        return until(lambda: ask(port), options.seconds)


def start_trainer(python: Path, scratch: Path) -> str:
    """Run the trainer's commands as far as they go without services."""
    for module in ("trainer.training.policy", "trainer.training.ppm"):
        done = called([str(python), "-m", module, "--help"], scratch)
        if done.returncode:
            raise NotProven(f"trainer: `{module} --help` ended with {done.stderr}")
    rstar = python.with_name("rstar")
    done = called([str(rstar), "harvest", "none.jsonl", "--out", "out"], scratch)
    if done.returncode != 2 or "none.jsonl" not in done.stderr:
        raise NotProven(f"trainer: `rstar harvest` ended with {done.returncode}: {done.stderr}")
    return "`rstar harvest` asks for its problems"


def prove(image: str, folder: Path, options: argparse.Namespace) -> Proof:
    """All that is to be found of one image; NotProven."""
    python = environment(image, folder, options.python)
    site = next((python.parent.parent / "lib").glob("python*/site-packages"))
    packages = "trainer,rstar" if image == "trainer" else f"services.{image}"
    with tempfile.TemporaryDirectory() as made:
        scratch = Path(made)
        scratch.chmod(0o777)
        forbidden = ",".join(FORBIDDEN.get(image, ("vllm",)))
        done = called([str(python), "-c", IMPORT_ALL, packages, forbidden], scratch, TMPDIR=made)
        if done.returncode:
            raise NotProven(f"{image}: {done.stderr[-2000:]}")
        begun = time.monotonic()
        answer = (
            start_trainer(python, scratch)
            if image == "trainer"
            else start_service(python, image, scratch, options)
        )
        seconds = time.monotonic() - begun
    return Proof(
        image,
        len(list(site.glob("*.dist-info"))),
        round(folder_bytes(site) / 1e6),
        round(seconds, 1),
        answer,
    )


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    images = sorted(path.name.split(".")[0] for path in DOCKERFILES.glob("*.Dockerfile"))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", nargs="*", default=images, help=f"of {', '.join(images)}")
    parser.add_argument("--folder", type=Path, help="keep the environments here, and use them")
    parser.add_argument(
        "--python", default=sys.executable, help="interpreter that user 10001 can run, too"
    )
    parser.add_argument("--store", type=Path, default=home() / "store", help="a model store")
    parser.add_argument("--model", default="qwen2.5-coder-0.5b", help="what the policy serves")
    parser.add_argument("--seconds", type=float, default=600, help="how long a start may take")
    parser.add_argument("--install-only", action="store_true")
    options = parser.parse_args()
    if unknown := set(options.images) - set(images):
        parser.error(f"no such image: {', '.join(sorted(unknown))}")
    return options


def main() -> int:
    """Prove the images that are asked for; 1 where one fails."""
    options = parse_arguments()
    with contextlib.ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        for image in options.images:
            if options.install_only:
                environment(image, folder, options.python)
                continue
            try:
                print(json.dumps(asdict(prove(image, folder, options))), flush=True)
            except (NotProven, subprocess.CalledProcessError) as error:
                print(f"prove_images: {error}", file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
