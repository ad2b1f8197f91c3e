"""Pulling a saved folder from the Hugging Face Hub by its id.

Only the files that `task.json` declares travel, and nothing that is pulled is code.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clinical_tl.errors import ArtifactError, ConfigError, shown_path, shown_value
from clinical_tl.saved.artifact import CARD_FILE, TASK_FILE, read_artifact
from clinical_tl.storage.hub_cache import HubId, hub_id
from clinical_tl.storage.hub_failure import speaking_to_hub
from clinical_tl.storage.paths import as_path
from clinical_tl.storage.replacement import whole_folder
from clinical_tl.storage.sealed_json import read_object

_PLAIN_FILE = re.compile(r"[\w-][\w.-]*\.(json|safetensors|txt|model)")


@dataclass(frozen=True)
class SavedFolder:
    """A saved model's folder, found here or pulled, with every file's hash checked.

    `description` is the content of `task.json`. `pulled`: the Hub was asked for it by name.
    `name` is the folder's own, without where it lies, or the Hub id.
    """

    path: Path
    description: dict[str, Any]
    pulled: bool = False
    name: str = ""


def find_saved(name: str | Path, *, revision: str | None = None) -> SavedFolder:
    """The saved model in a local folder, or under a Hub id.

    `"hub:org/name"` is pulled if need be; a plain `"org/name"` is looked for in the local cache
    alone.

    Raises `ArtifactError` if there is neither or it is damaged, `ConfigError` for a revision of
    a local folder; else what `pull_folder` does.
    """
    path = whole_folder(as_path(name))
    wanted = None if path.exists() or not isinstance(name, str) else hub_id(name)
    if wanted is not None and (wanted.asked or "/" in wanted.repo):
        return _pull(wanted, revision, None)
    if revision is not None:
        raise ConfigError(
            f"revision={shown_value(revision)}: only repositories of the Hub ('hub:org/name') have "
            f"revisions, and {shown_path(name)!r} is a folder of this machine; leave it out"
        )
    return SavedFolder(path, read_artifact(path), name=path.resolve().name)


def pull_folder(repo_id: str, *, revision: str | None = None, token: str | None = None) -> Path:
    """Download a pushed model into the cache, or find it there; returns its folder.

    `"hub:org/name"` asks the Hub, and works from the cache where it can't be reached; a plain
    `"org/name"` is looked for in the cache alone. `revision` is a branch, a tag or a commit; a
    commit's hash always gives the same model.

    Raises:
        HubError: no such repository or revision, no right to read it, or no network and
            nothing in the cache.
        ArtifactError: the repository holds no model of this package, a damaged one, or declares
            files that are no plain data; or a plain name that is not in the cache.
    """
    wanted = hub_id(repo_id)
    if wanted is None:
        raise ArtifactError(f"{shown_path(repo_id)!r} is no Hub id; give 'hub:org/name'")
    return _pull(wanted, revision, token).path


def _pull(wanted: HubId, revision: str | None, token: str | None) -> SavedFolder:
    from huggingface_hub import is_offline_mode

    folder = _pulled(wanted, revision, token)
    try:
        description = read_artifact(folder)
    except ArtifactError:
        if not wanted.asked or is_offline_mode():
            raise
        # The cache keeps for ever what it was sent once, damaged or not.
        folder = _pulled(wanted, revision, token, again=True)
        description = read_artifact(folder)
    return SavedFolder(folder, description, pulled=wanted.asked, name=wanted.repo)


def _pulled(wanted: HubId, revision: str | None, token: str | None, *, again: bool = False) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        LocalEntryNotFoundError,
        RemoteEntryNotFoundError,
    )

    at = "" if revision is None else f" at revision {shown_value(revision)}"

    def fetch(name: str, revision: str | None) -> Path:
        return Path(
            hf_hub_download(
                wanted.repo,
                name,
                revision=revision,
                token=token,
                local_files_only=not wanted.asked,
                force_download=again,
            )
        )

    with speaking_to_hub(
        f"{shown_path(str(wanted))!r}{at} is no folder here, and could not be pulled"
    ):
        try:
            file = fetch(TASK_FILE, revision)
        except RemoteEntryNotFoundError as error:
            raise ArtifactError(
                f"{shown_path(str(wanted))!r}{at} holds no {TASK_FILE}: it was not pushed by "
                "clinical_tl; load it as an encoder (TransferModel.from_pretrained) or with its "
                "own library"
            ) from error
        except LocalEntryNotFoundError as error:
            if wanted.asked:
                raise
            raise _not_here(wanted, at) from error
        names = declared_files(file)
        if names is None or not all(_PLAIN_FILE.fullmatch(name) for name in names):
            raise ArtifactError(
                f"{shown_path(str(wanted))!r}{at} declares files that are no plain data "
                "(allowed: .json, .safetensors, .txt, .model); don't load it, ask its authors "
                "to save it again"
            )
        # The cache files a snapshot under its commit: everything comes from the same one, even
        # if somebody pushes meanwhile. One by one, as a file that fails must not be passed over.
        commit = file.parent.name
        try:
            for name in names:
                fetch(name, commit)
        except LocalEntryNotFoundError as error:
            if wanted.asked:
                raise
            raise _not_here(wanted, at) from error
        with suppress(EntryNotFoundError):
            fetch(CARD_FILE, commit)
        return file.parent


def _not_here(wanted: HubId, at: str) -> ArtifactError:
    return ArtifactError(
        f"{shown_path(wanted.repo)!r}{at} is no folder of this machine, and no model of the "
        "local Hub cache. "
        f"If a folder is meant, correct its path; if a Hub id, 'hub:{wanted.repo}' downloads it"
    )


def declared_files(file: Path) -> list[str] | None:
    """The files that a `task.json` declares; None if it does not say."""
    try:
        return [str(name) for name in dict(read_object(file, mend="")["files"])]
    except (ArtifactError, ValueError, KeyError, TypeError):
        return None
