"""Which commit the contracts are compared with."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPT = "scripts/check_breaking.py"
PROTO = "proto/rstar/toy/v1/toy.proto"
MESSAGE = """syntax = "proto3";
package rstar.toy.v1;
message Toy {{
  string {field} = 1;
}}
"""

Commit = Callable[..., None]


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository of its own, with this script and buf's settings in it."""
    for name in (SCRIPT, "buf.yaml"):
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    return tmp_path


def git(repo: Path, *arguments: str) -> None:
    who = ("-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *who, *arguments], cwd=repo, check=True, capture_output=True)


def commit(repo: Path, field: str | None, message: str = "Change") -> None:
    """Commit the toy contract with one field of this name; None changes something else."""
    path = repo / (PROTO if field else "notes")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(MESSAGE.format(field=field) if field else message)
    git(repo, "add", ".")
    git(repo, "commit", "--quiet", "--message", message)


def check(repo: Path) -> tuple[int, str]:
    result = subprocess.run(
        [sys.executable, SCRIPT], cwd=repo, capture_output=True, text=True, check=False
    )
    return result.returncode, result.stdout + result.stderr


def test_a_first_commit_has_nothing_to_be_compared_with(repo: Path) -> None:
    commit(repo, "name")
    code, said = check(repo)
    assert (code, "no earlier contracts" in said) == (0, True)


def test_the_last_change_is_compared_with_what_was_before(repo: Path) -> None:
    commit(repo, "name")
    commit(repo, "title")
    commit(repo, None)
    code, said = check(repo)
    assert code != 0
    assert 'name from "name" to "title"' in said


def test_what_is_not_committed_counts_too(repo: Path) -> None:
    commit(repo, "name")
    git(repo, "tag", "v1")
    (repo / PROTO).write_text(MESSAGE.format(field="title"))
    assert check(repo)[0] != 0


def test_the_last_tag_is_what_clients_have(repo: Path) -> None:
    commit(repo, "name")
    commit(repo, "title")
    git(repo, "tag", "v1")
    commit(repo, None)
    code, said = check(repo)
    assert (code, "nothing broken" in said) == (0, True)


def test_a_clone_is_compared_with_its_origin(repo: Path, tmp_path: Path) -> None:
    commit(repo, "name")
    clone = tmp_path / "clone"
    git(repo, "clone", "--quiet", str(repo), str(clone))
    commit(clone, "title")
    commit(clone, "subject")
    git(clone, "commit", "--quiet", "--allow-empty", "--message", "Empty")
    assert 'from "name" to "subject"' in check(clone)[1]


def test_a_declared_break_passes(repo: Path) -> None:
    commit(repo, "name")
    commit(repo, "title", "Rename\n\nBreaks-proto: nobody uses it yet")
    code, said = check(repo)
    assert (code, "is declared: nobody uses it yet" in said) == (0, True)
