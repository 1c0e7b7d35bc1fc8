"""Generate services/common/pb from proto/; with --check, only say whether it is up to date.

A virtual path maps proto/rstar/<service>/v1 to the package services.common.pb.<service>.v1.
"""

import argparse
import filecmp
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path("services/common/pb")
PLUGINS = ("mypy", "mypy_grpc")
HEADER = '"""Generated from proto/ by scripts/generate_protos.py. Do not edit."""\n'


def generate(target: Path) -> None:
    """Write the package PACKAGE below target."""
    protos = sorted((ROOT / "proto" / "rstar").rglob("*.proto"))
    names = [str(PACKAGE / proto.relative_to(ROOT / "proto" / "rstar")) for proto in protos]
    target.mkdir(parents=True, exist_ok=True)
    # Those of this environment, whether it is activated or not.
    plugins = [Path(sys.executable).with_name(f"protoc-gen-{name}") for name in PLUGINS]
    status = protoc.main(
        [
            "protoc",
            f"-I{PACKAGE}={ROOT / 'proto' / 'rstar'}",
            f"-I{files('grpc_tools') / '_proto'}",
            *(f"--plugin={plugin}" for plugin in plugins),
            f"--python_out={target}",
            f"--grpc_python_out={target}",
            f"--mypy_out={target}",
            f"--mypy_grpc_out={target}",
            *names,
        ]
    )
    if status:
        sys.exit(status)
    package = target / PACKAGE
    for folder in [package, *(path for path in package.rglob("*") if path.is_dir())]:
        (folder / "__init__.py").write_text(HEADER)


def drifted(fresh: Path) -> list[str]:
    """Paths, relative to the package, that differ between the checkout and a fresh generation."""
    old = {p.relative_to(ROOT / PACKAGE) for p in (ROOT / PACKAGE).rglob("*.py*") if p.is_file()}
    old = {path for path in old if "__pycache__" not in path.parts}
    new = {p.relative_to(fresh / PACKAGE) for p in (fresh / PACKAGE).rglob("*.py*") if p.is_file()}
    changed = {
        path
        for path in old & new
        if not filecmp.cmp(ROOT / PACKAGE / path, fresh / PACKAGE / path, shallow=False)
    }
    return sorted(map(str, (old ^ new) | changed))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail on drift")
    if not parser.parse_args().check:
        generate(ROOT)
        return
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        paths = drifted(Path(folder))
    if paths:
        sys.exit("generated code differs from proto/ (run `make proto`): " + ", ".join(paths))


if __name__ == "__main__":
    main()
