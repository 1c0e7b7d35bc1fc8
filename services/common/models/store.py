"""The model store: versions of policies and PPMs as plain Hugging Face folders with a manifest.

`<root>/<kind>/<version>/` holds safetensors, config and tokenizer, loadable without this code, and
`manifest.json`. A version appears whole and never changes afterwards; what cannot be proved whole
is refused by name. The root is a folder or the URL of a remote file system.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

from pydantic import ValidationError

from services.common import home
from services.common.models import folder as folders
from services.common.models import weights
from services.common.models.aliases import RESERVED, Aliases
from services.common.models.backend import Backend
from services.common.models.errors import (
    ModelDamaged,
    ModelError,
    ModelExists,
    ModelNotFound,
)
from services.common.models.local import LocalBackend
from services.common.models.manifest import (
    FILE_NAME,
    Adapter,
    Data,
    Kind,
    Manifest,
    PromptStyle,
    Source,
    explain,
    is_version,
)
from services.common.models.remote import RemoteBackend


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
    """A place of model versions, shared by any number of processes.

    Attributes:
        location: how people name it.
        root: the folder on this machine where versions are opened: the store itself, or the cache
            of a remote one.
        backend: where its bytes lie.
        aliases: names that point to versions.
    """

    def __init__(self, root: Path | str | None = None, *, cache: Path | None = None) -> None:
        """Open a store; makes nothing yet.

        Args:
            root: a folder, or a URL that fsspec knows (`s3://bucket/models`); by default the
                folder in the home folder.
            cache: where a remote store's versions are kept; by default in the home folder.
        """
        self.backend: Backend = _backend(root, cache)
        self.location = self.backend.location
        self.root = self.backend.folder
        self.aliases = Aliases(self.backend)

    def path(self, kind: Kind, version: str) -> Path:
        """The folder of a version on this machine, whether it is there or not.

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
        self.path(kind, "any")
        return self.backend.versions(kind)

    def reindex(self, kind: Kind) -> None:
        """Find a remote store's versions anew, after other tools have changed it."""
        self.path(kind, "any")
        self.backend.reindex(kind)

    def resolve(self, kind: Kind, name: str) -> str:
        """The version that an alias points to, or `name` itself where it is no alias."""
        self.path(kind, name)
        return self.aliases.target(kind, name) or name

    def manifest(self, kind: Kind, version: str) -> Manifest:
        """A version's manifest alone; its files are not looked at.

        Raises:
            ModelNotFound: there is no such version.
            ModelDamaged: the manifest is missing or cannot be believed.
        """
        return self._manifest(kind, version)[0]

    def manifests(self, kind: Kind, *, counted: bool = False) -> dict[str, Manifest | ModelDamaged]:
        """Every version's manifest, or what is wrong with it; files are not read.

        Args:
            kind: policy or ppm.
            counted: compare the sizes of all files, and find versions that a remote store's index
                does not know, which takes it long; a folder's are always compared.
        """
        written = None if counted else self.backend.listed(kind)
        sizes = self.backend.sizes(kind) if written is None else None
        if written is None:
            written = self.backend.manifests(kind, sizes or ())
        found: dict[str, Manifest | ModelDamaged] = {}
        for version, content in sorted(written.items()):
            try:
                manifest = self._believe(kind, version, content)
                if sizes is not None:
                    self._compare(manifest, sizes[version])
                found[version] = manifest
            except ModelDamaged as error:
                found[version] = error
        return found

    def open(self, kind: Kind, version: str, *, verify: bool = True) -> StoredModel:
        """A version on this machine, proved whole: every file, nothing beside, checksums right.

        Args:
            kind: policy or ppm.
            version: its name, not an alias.
            verify: compare checksums as well as sizes (reads every byte, about 1 s a GB); what is
                fetched from a remote store is compared in any case, as it comes.

        Raises:
            ModelNotFound: there is no such version.
            ModelDamaged: names the file and what is wrong with it.
            StoreUnreachable: a remote store does not answer.
        """
        manifest, written = self._manifest(kind, version)
        folder = self.backend.bring(kind, version, manifest, written)
        try:
            return self._prove(folder, manifest, verify=verify)
        except ModelDamaged:
            if not self.backend.forget(kind, version):
                raise
        folder = self.backend.bring(kind, version, manifest, written)
        return self._prove(folder, manifest, verify=verify)

    def open_copy(self, kind: Kind, version: str) -> StoredModel:
        """As `open` with `verify`, of what is on this machine already, asking nobody else."""
        folder = self.path(kind, version)
        try:
            written = (folder / FILE_NAME).read_bytes()
        except OSError:
            raise ModelNotFound(f"no {kind} {version!r} on this machine ({folder})") from None
        return self._prove(folder, self._believe(kind, version, written), verify=True)

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
        data: Data | None = None,
        adapter: Adapter | None = None,
        metrics: Mapping[str, float] | None = None,
        move: bool = False,
        replace: bool = False,
    ) -> StoredModel:
        """Put a Hugging Face folder into the store as a version, all at once or not at all.

        Args:
            kind: policy or ppm.
            version: a name that is not taken, by an alias neither.
            folder: config, tokenizer and safetensors.
            licence, base, parent, round, prompt_style, scale, source, data, adapter, metrics: see
                Manifest.
            move: take the files instead of copying them.
            replace: take the place of a version of the same name, a damaged one say.

        Raises:
            ModelExists: the name is taken, and `replace` is not set.
            ModelDamaged: the folder is not a plain Hugging Face model of this kind.
            ModelError: a name or a field breaks its rules.
        """
        target = self.path(kind, version)
        self._check_name(kind, version, replace=replace)
        with folders.staging(target) as staged:
            try:
                folders.take(Path(folder), staged, move=move)
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
                    data=data,
                    adapter=adapter,
                    metrics=dict(metrics or {}),
                    files=folders.describe(staged),
                    created=datetime.now(UTC).replace(microsecond=0),
                )
            except ValidationError as error:
                raise ModelError(f"{kind} {version!r}: {explain(error)}") from None
            text = manifest.model_dump_json(indent=2, exclude_none=True) + "\n"
            (staged / FILE_NAME).write_text(text, encoding="utf-8")
            folders.flush(staged)
            return StoredModel(
                self.backend.settle(staged, kind, version, replace=replace), manifest
            )

    def _check_name(self, kind: Kind, version: str, *, replace: bool) -> None:
        if version in RESERVED or self.aliases.target(kind, version) is not None:
            raise ModelExists(f"{kind} {version!r} is the name of an alias")
        if not replace and self.backend.holds(kind, version):
            raise ModelExists(f"{kind} {version!r} is in the store already ({self.location})")

    def _manifest(self, kind: Kind, version: str) -> tuple[Manifest, bytes]:
        self.path(kind, version)
        written = self.backend.manifests(kind, [version]).get(version)
        if written is None:
            if self.backend.holds(kind, version):
                raise self._damaged(kind, version, FILE_NAME, "missing")
            held = ", ".join(self.versions(kind)) or "none"
            raise ModelNotFound(f"no {kind} {version!r} in {self.location} (there: {held})")
        return self._believe(kind, version, written), written

    def _believe(self, kind: Kind, version: str, written: bytes) -> Manifest:
        try:
            manifest = Manifest.model_validate_json(written)
        except ValidationError as error:
            raise self._damaged(kind, version, FILE_NAME, explain(error)) from None
        if (manifest.kind, manifest.version) != (kind, version):
            fault = f"describes {manifest.kind} {manifest.version!r}"
            raise self._damaged(kind, version, FILE_NAME, fault)
        return manifest

    def _compare(self, manifest: Manifest, sizes: Mapping[str, int]) -> None:
        listed = {name: entry.size for name, entry in manifest.files.items()}
        there = {name: size for name, size in sizes.items() if name != FILE_NAME}
        for name in sorted(listed.keys() | there.keys()):
            if listed.get(name) != there.get(name):
                fault = "missing" if name not in there else "not in the manifest"
                if name in listed and name in there:
                    fault = f"{there[name]} bytes where the manifest says {listed[name]}"
                raise self._damaged(manifest.kind, manifest.version, name, fault)

    def _prove(self, folder: Path, manifest: Manifest, *, verify: bool) -> StoredModel:
        try:
            folders.check(folder, manifest.files, verify=verify)
            weights.check_folder(manifest.kind, folder)
        except weights.BadFile as bad:
            raise self._damaged(manifest.kind, manifest.version, bad.name, bad.fault) from None
        return StoredModel(folder, manifest)

    def _damaged(self, kind: Kind, version: str, name: str, fault: str) -> ModelDamaged:
        return ModelDamaged(f"{kind} {version!r}: {name}: {fault} (in {self.location})")


def _backend(root: Path | str | None, cache: Path | None) -> Backend:
    if root is None:
        return LocalBackend(home.store_folder())
    if isinstance(root, str) and "://" in root:
        if root.startswith("file://"):
            return LocalBackend(Path(root.removeprefix("file://")))
        name = hashlib.sha256(root.rstrip("/").encode()).hexdigest()[:16]
        return RemoteBackend(root, cache or home.home() / "cache" / name)
    return LocalBackend(Path(root).expanduser().absolute())
