"""Check that proto/ breaks no client of what was there before, with `buf breaking`.

Before is the last tag; without one, origin/main where it differs from HEAD; else the parent of the
last commit that touched proto/. A first commit has nothing to be compared with. A wanted break is
declared by a line `Breaks-proto: WHY` in a commit message after that point.
"""

import io
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def git(*arguments: str) -> str:
    """What git prints, stripped; the empty string where it fails."""
    result = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return result.stdout.strip() if result.returncode == 0 else ""


def baseline() -> str:
    """The commit to compare with; the empty string where there is none."""
    tag = git("describe", "--tags", "--abbrev=0")
    if tag:
        return git("rev-parse", f"{tag}^{{commit}}")
    main = git("merge-base", "origin/main", "HEAD")
    if main and main != git("rev-parse", "HEAD"):
        return main
    last = git("log", "-1", "--format=%H", "--", "proto")
    return git("rev-parse", "--verify", "--quiet", f"{last}^") if last else ""


def declared_break(since: str) -> str:
    """The reason in the newest `Breaks-proto` line of the commits after `since`, or nothing."""
    reasons = git("log", "--format=%(trailers:key=Breaks-proto,valueonly)", f"{since}..HEAD")
    return next((line for line in reasons.splitlines() if line.strip()), "")


def unpack(commit: str, target: Path) -> None:
    """Write the contracts of a commit, and buf's settings, below target."""
    archive = subprocess.run(
        ["git", "archive", commit, "proto", "buf.yaml"], cwd=ROOT, capture_output=True, check=True
    )
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        # File by file: Python before 3.11.4 has no filters for extractall.
        for member in tar:
            if content := tar.extractfile(member):
                file = target / member.name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content.read())


def main() -> None:
    """Run the command line."""
    before = baseline()
    if not before or not git("ls-tree", before, "proto"):
        print("buf breaking: no earlier contracts to compare with")
        return
    reason = declared_break(before)
    if reason:
        print(f"buf breaking: a break since {before[:9]} is declared: {reason}")
        return
    with tempfile.TemporaryDirectory() as folder:
        unpack(before, Path(folder))
        buf = Path(sys.executable).with_name("buf")
        result = subprocess.run([buf, "breaking", "--against", folder], cwd=ROOT, check=False)
    print(
        f"buf breaking: against {before[:9]}: {'broken' if result.returncode else 'nothing broken'}"
    )
    sys.exit(result.returncode)


if __name__ == "__main__":
    main()
