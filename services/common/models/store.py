"""The model store: versions of policies and PPMs as plain Hugging Face folders with a manifest.

`<root>/<kind>/<version>/` holds safetensors, config and tokenizer, loadable without this code, and
`manifest.json`. A version appears whole, by one rename, and never changes afterwards; what cannot
be proved whole is refused by name.
"""

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

from pydantic import ValidationError

from services.common import home
from services.common.models import weights
from services.common.models.manifest import (
    FILE_NAME,
    FileEntry,
    Kind,
    Manifest,
    PromptStyle,
    Source,
    explain,
    is_version,
)


class ModelError(Exception):
    """A model that cannot be had; the message says which and why."""


class ModelNotFound(ModelError):  # noqa: N818 - what happened, as in FileNotFoundError's kin
    """The store holds no such version."""


class ModelDamaged(ModelError):  # noqa: N818
    """A version is refused: a file of it is missing, altered, cut short, unlisted or unsafe."""


class ModelExists(ModelError):  # noqa: N818
    """A version of this name is there already; versions never change."""


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A version that was found whole.

    Attributes:
        path: its folder, loadable by transformers and vLLM.
        manifest: what is known of it.
    """

    path: Path
    manifest: Manifest


class ModelStore:
    """A folder of model versions, shared by any number of processes."""

    def __init__(self, root: Path | str | None = None) -> None:
        """Open the store in `root`, by default the one in the home folder; makes nothing yet."""
        self.root = home.store_folder() if root is None else Path(root).expanduser().absolute()

    def path(self, kind: Kind, version: str) -> Path:
        """The folder of a version, whether it is there or not.

        Raises:
            ModelError: `kind` or `version` cannot be a name here.
        """
        if kind not in get_args(Kind):
            raise ModelError(f"model kind {kind!r}: must be one of {', '.join(get_args(Kind))}")
        if not is_version(version):
            raise ModelError(
                f"model version {version!r}: must be 1 to 100 letters, digits, dots, dashes or "
                "underscores, beginning with a letter or digit"
            )
        return self.root / kind / version

    def versions(self, kind: Kind) -> list[str]:
        """Names of the finished versions, sorted; their files are not looked at."""
        folder = self.path(kind, "any").parent
        if not folder.is_dir():
            return []
        names = (entry.name for entry in os.scandir(folder) if is_version(entry.name))
        return sorted(name for name in names if (folder / name / FILE_NAME).is_file())

    def manifest(self, kind: Kind, version: str) -> Manifest:
        """A version's manifest alone; its files are not looked at.

        Raises:
            ModelNotFound: there is no such version.
            ModelDamaged: the manifest is missing or cannot be believed.
        """
        folder = self.path(kind, version)
        if not folder.is_dir():
            held = ", ".join(self.versions(kind)) or "none"
            raise ModelNotFound(f"no {kind} {version!r} in {self.root} (there: {held})")
        try:
            manifest = Manifest.model_validate_json((folder / FILE_NAME).read_bytes())
        except FileNotFoundError:
            raise _damaged(folder, FILE_NAME, "missing") from None
        except ValidationError as error:
            raise _damaged(folder, FILE_NAME, explain(error)) from None
        if (manifest.kind, manifest.version) != (kind, version):
            fault = f"describes {manifest.kind} {manifest.version!r}"
            raise _damaged(folder, FILE_NAME, fault)
        return manifest

    def open(self, kind: Kind, version: str, *, verify: bool = True) -> StoredModel:
        """A version, proved whole: every file there, nothing beside them, checksums right.

        Args:
            kind: policy or ppm.
            version: its name.
            verify: compare checksums as well as sizes (reads every byte, about 1 s a GB).

        Raises:
            ModelNotFound: there is no such version.
            ModelDamaged: names the file and what is wrong with it.
        """
        manifest = self.manifest(kind, version)
        folder = self.path(kind, version)
        try:
            _check_files(folder, manifest.files, verify=verify)
            weights.check_folder(kind, folder)
        except weights.BadFile as bad:
            raise _damaged(folder, bad.name, bad.fault) from None
        return StoredModel(folder, manifest)

    def publish(
        self,
        kind: Kind,
        version: str,
        folder: Path | str,
        *,
        licence: str,
        base: str | None = None,
        parent: str | None = None,
        round: int | None = None,  # noqa: A002 - the manifest's field
        prompt_style: PromptStyle | None = None,
        scale: float | None = None,
        source: Source | None = None,
        metrics: Mapping[str, float] | None = None,
        move: bool = False,
        replace: bool = False,
    ) -> StoredModel:
        """Put a Hugging Face folder into the store as a version, all at once or not at all.

        Args:
            kind: policy or ppm.
            version: a name that is not taken.
            folder: config, tokenizer and safetensors.
            licence, base, parent, round, prompt_style, scale, source, metrics: see Manifest.
            move: take the files instead of copying them.
            replace: take the place of a version of the same name, a damaged one say.

        Raises:
            ModelExists: the name is taken, and `replace` is not set.
            ModelDamaged: the folder is not a plain Hugging Face model of this kind.
            ModelError: a name or a field breaks its rules.
        """
        target = self.path(kind, version)
        if target.exists() and not replace:
            raise _taken(target)
        with _staging(target) as staged:
            try:
                _take(Path(folder), staged, move=move)
                weights.check_folder(kind, staged)
            except weights.BadFile as bad:
                raise ModelDamaged(f"{folder}: {bad}") from None
            try:
                manifest = Manifest(
                    kind=kind,
                    version=version,
                    base=base,
                    parent=parent,
                    round=round,
                    prompt_style=prompt_style,
                    scale=scale,
                    licence=licence,
                    source=source,
                    metrics=dict(metrics or {}),
                    files=_describe(staged),
                    created=datetime.now(UTC).replace(microsecond=0),
                )
            except ValidationError as error:
                raise ModelError(f"{kind} {version!r}: {explain(error)}") from None
            text = manifest.model_dump_json(indent=2, exclude_none=True) + "\n"
            (staged / FILE_NAME).write_text(text, encoding="utf-8")
            _flush(staged)
            _settle(staged, target, replace=replace)
        return StoredModel(target, manifest)


def _damaged(folder: Path, name: str, fault: str) -> ModelDamaged:
    return ModelDamaged(f"{folder.parent.name} {folder.name!r}: {name}: {fault} (in {folder})")


def _taken(folder: Path) -> ModelExists:
    return ModelExists(f"{folder.parent.name} {folder.name!r} is in the store already ({folder})")


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file below a folder but its manifest, by relative path.

    Raises:
        BadFile: something is neither a file nor a folder, a link say.
    """
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise weights.BadFile(name, "neither a plain file nor a folder")
        if path.is_file() and name != FILE_NAME:
            yield name, path


def _check_files(folder: Path, listed: Mapping[str, FileEntry], *, verify: bool) -> None:
    found = dict(_files(folder))
    for name in found:
        weights.check_name(name)
        if name not in listed:
            raise weights.BadFile(name, "not in the manifest")
    for name, entry in listed.items():
        if name not in found:
            raise weights.BadFile(name, "missing")
        size = found[name].stat().st_size
        if size != entry.size:
            raise weights.BadFile(name, f"{size} bytes where the manifest says {entry.size}")
    for name, entry in listed.items() if verify else ():
        if (sha256 := hash_file(found[name])) != entry.sha256:
            fault = f"altered: sha256 {sha256} where the manifest says {entry.sha256}"
            raise weights.BadFile(name, fault)


def hash_file(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _describe(folder: Path) -> dict[str, FileEntry]:
    return {
        name: FileEntry(sha256=hash_file(path), size=path.stat().st_size)
        for name, path in _files(folder)
    }


def _take(folder: Path, staged: Path, *, move: bool) -> None:
    """Copy or move a folder's files, refusing the unsafe ones before anything is touched."""
    if not folder.is_dir():
        raise weights.BadFile(".", "not a folder")
    found = dict(_files(folder))
    for name in found:
        weights.check_name(name)
    for name, path in found.items():
        target = staged / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if move:
            shutil.move(path, target)
        else:
            shutil.copyfile(path, target)
        target.chmod(0o644)


@contextlib.contextmanager
def _staging(target: Path) -> Iterator[Path]:
    """A folder beside the version's, whose name no version can have; gone when the block ends."""
    target.parent.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    staged.chmod(0o755)
    try:
        yield staged
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _settle(staged: Path, target: Path, *, replace: bool) -> None:
    """Give the finished version its name. Of two publishers at once, one wins whole."""
    if replace and target.exists():
        # Readers that have the old files open keep them; a crash between the two renames leaves
        # the version missing, never mixed.
        with _staging(target) as old:
            target.replace(old / "replaced")
            staged.rename(target)
    else:
        try:
            staged.rename(target)
        except OSError as error:
            if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
                raise _taken(target) from None
            raise
    _sync(target.parent)


def _flush(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        _sync(path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
