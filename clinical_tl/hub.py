"""The Hugging Face Hub: pushing a saved folder, private by default, and pulling one by its id.

Only the files that `task.json` declares travel, in either direction: whatever else lies in a
folder stays there, and nothing that is pulled is code.
"""

from __future__ import annotations

import logging
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from clinical_tl.artifact import CARD_FILE, TASK_FILE, read_artifact
from clinical_tl.errors import (
    ArtifactError,
    ConfigError,
    HubError,
    shown_id,
    shown_path,
    shown_value,
)
from clinical_tl.hub_cache import HubId, hub_id
from clinical_tl.hub_failure import speaking_to_hub
from clinical_tl.paths import as_path
from clinical_tl.release.gate import ReleaseReport, require_release
from clinical_tl.replacement import whole_folder
from clinical_tl.sealed_json import read_object

if TYPE_CHECKING:
    from typing import Unpack

    from huggingface_hub import CommitInfo, HfApi

    from clinical_tl.data.notes import NotesLike
    from clinical_tl.release.check import DataUse

logger = logging.getLogger(__name__)

_PLAIN_FILE = re.compile(r"[\w-][\w.-]*\.(json|safetensors|txt|model)")


class PushOptions(TypedDict, total=False):
    """How `push_folder` pushes."""

    private: bool
    token: str | None
    revision: str | None
    create_pr: bool
    tag: str | None
    endpoint: str | None
    data_use: DataUse | None
    overrides: Sequence[str]
    train: NotesLike | None
    held_out: NotesLike | None


def push_folder(
    folder: str | Path,
    repo_id: str,
    *,
    private: bool = True,
    token: str | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    tag: str | None = None,
    endpoint: str | None = None,
    data_use: DataUse | None = None,
    overrides: Sequence[str] = (),
    train: NotesLike | None = None,
    held_out: NotesLike | None = None,
) -> str:
    """Upload a folder written by `save_pretrained` in one commit; returns the commit's address.

    Needs the network and a token (`hf auth login`, or `token`). Patients' notes trained these
    weights: look at the folder, and at the terms of your data, before making it public. The
    declared files alone are uploaded; those of an earlier push that are no longer part of the
    model are removed. Called again after a failure, it sends only what had not arrived; a
    folder that is there already makes no second commit.

    Args:
        folder: the saved model.
        repo_id: `"org/name"`, created if it does not exist.
        private: of a repository created now; an existing one that is public is refused.
        token: of the Hub; by default the one you are logged in with.
        revision: the branch, created if it does not exist; by default `main`.
        create_pr: propose the commit as a pull request, whose address is returned.
        tag: a name for the commit, such as `"v1.0"`.
        endpoint: another Hub's address; by default that of `HF_ENDPOINT`.
        data_use: the terms of the training notes, `"public"`, `"credentialed"` or `"local"`;
            without them nothing leaves (see `release.gate`).
        overrides: names of checks whose block is lifted.
        train: the training notes, to look for quotations and to audit memorisation.
        held_out: notes like them that training did not see.

    Raises:
        ArtifactError: a damaged folder, one with single notes' embeddings, or an encoder that
            is a local folder, which nobody else could load.
        ReleaseError: a check of the release gate blocks; nothing was sent.
        ConfigError: `create_pr` together with `revision` or `tag`.
        HubError: the Hub can't be reached or refuses; the folder is as it was.
    """
    from huggingface_hub import HfApi

    folder = as_path(folder)
    if create_pr and (revision is not None or tag is not None):
        raise ConfigError(
            "create_pr=True proposes a change of the main branch, which others then merge; leave "
            "out revision, and tag the commit once it is merged"
        )
    description = read_artifact(folder)
    _check_shareable(folder, description)
    report = require_release(
        folder,
        repo_private=private,
        data_use=data_use,
        overrides=overrides,
        train=train,
        held_out=held_out,
    )
    for check in report.checks:
        if check.status != "pass":
            lifted = (
                f" (block lifted by {shown_id(check.overridden_by, 'reason')!r})"
                if check.overridden_by
                else ""
            )
            logger.warning("release gate, %s: %s%s", check.name, check.reason, lifted)
    names = [*description["files"], TASK_FILE]
    if (folder / CARD_FILE).is_file():
        names.append(CARD_FILE)
    api = HfApi(endpoint=endpoint, token=token)
    with speaking_to_hub(
        f"the push of {shown_path(folder)} to {repo_id!r} failed",
        f"The folder {shown_path(folder)} is whole; push it again with push_folder or "
        "the recipe push: files that arrived are not sent twice.",
    ):
        repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        if private and not api.model_info(repo_id).private:
            raise HubError(
                f"{shown_path(repo_id)!r} exists and is public, so nothing was uploaded; to "
                "publish the model give private=False, otherwise choose another name. "
                f"{shown_path(folder)} is whole"
            )
        if revision is not None and not revision.startswith("refs/"):
            api.create_branch(repo_id, branch=revision, exist_ok=True)
        message = f"clinical_tl {description['package_version']}: {description['task']['kind']}"
        commit = _commit(
            api, repo_id, folder, names, (message, _account(report)), revision, create_pr=create_pr
        )
        if tag is not None:
            _tag(api, repo_id, tag, commit)
    return str(commit.pr_url or commit.commit_url)


def push_saved(
    save: Callable[[Path], object],
    repo_id: str,
    *,
    folder: str | Path | None = None,
    **options: Unpack[PushOptions],
) -> str:
    """Save a model with `save` and push its folder; returns the commit's address.

    The model lies in `folder` afterwards, or in a temporary folder, which is kept, and named
    in the error, where the Hub could not take it. Raises what `push_folder` does.
    """
    if folder is not None:
        save(as_path(folder))
        return push_folder(folder, repo_id, **options)
    home = Path(tempfile.mkdtemp(prefix="clinical_tl-"))
    try:
        save(home / "model")
        address = push_folder(home / "model", repo_id, **options)
    except HubError:
        raise
    except BaseException:
        shutil.rmtree(home, ignore_errors=True)
        raise
    shutil.rmtree(home, ignore_errors=True)
    return address


def find_folder(name: str | Path, *, revision: str | None = None) -> Path:
    """The local folder of a saved model: itself, or that of a Hub id.

    `"hub:org/name"` is pulled if need be; a plain `"org/name"` is looked for in the local cache
    alone.

    Raises `ArtifactError` if there is neither, `ConfigError` for a revision of a local folder;
    else what `pull_folder` does.
    """
    path = whole_folder(as_path(name))
    wanted = None if path.exists() or not isinstance(name, str) else hub_id(name)
    if wanted is not None and (wanted.asked or "/" in wanted.repo):
        return pull_folder(str(wanted), revision=revision)
    if revision is not None:
        raise ConfigError(
            f"revision={shown_value(revision)}: only repositories of the Hub ('hub:org/name') have "
            f"revisions, and {shown_path(name)!r} is a folder of this machine; leave it out"
        )
    return path


def pull_folder(repo_id: str, *, revision: str | None = None, token: str | None = None) -> Path:
    """Download a pushed model into the cache, or find it there; returns its folder.

    `"hub:org/name"` asks the Hub, and works from the cache where it can't be reached; a plain
    `"org/name"` is looked for in the cache alone. `revision` is a branch, a tag or a commit; a
    commit's hash always gives the same model.

    Raises:
        HubError: no such repository or revision, no right to read it, or no network and
            nothing in the cache.
        ArtifactError: the repository holds no model of this package, or declares files that
            are no plain data; or a plain name that is not in the cache.
    """
    from huggingface_hub import is_offline_mode

    wanted = hub_id(repo_id)
    if wanted is None:
        raise ArtifactError(f"{shown_path(repo_id)!r} is no Hub id; give 'hub:org/name'")
    folder = _pulled(wanted, revision, token)
    if wanted.asked and not is_offline_mode():
        try:
            read_artifact(folder)
        except ArtifactError:
            # The cache keeps for ever what it was sent once, damaged or not.
            folder = _pulled(wanted, revision, token, again=True)
    return folder


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
        names = _declared(file)
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


def _account(report: ReleaseReport) -> str:
    """For the commit: the data's terms, and how each check of the release gate ended.

    Reasons stay here: a person wrote them, and they may name persons.
    """
    ends = [
        f"{check.name}: {'lifted' if check.overridden_by else check.status}"
        for check in report.checks
    ]
    return f"Data use: {report.data_use}. Release gate: {', '.join(ends)}."


def _check_shareable(folder: Path, description: dict[str, Any]) -> None:
    if "novelty.safetensors" in description["files"]:
        from clinical_tl.estimators.novelty import NoveltyDetector

        detector = NoveltyDetector.load(folder)
        if detector.holds_notes:
            raise ArtifactError(
                f"the novelty detector ({detector.method}) holds embeddings of single "
                "training notes, from which text can be recovered; fit it with "
                "method='mahalanobis', or set model.novelty = None before pushing"
            )
    encoder = description["encoder"]["name"]
    carries_encoder = any(re.match(r"model\b.*\.safetensors", f) for f in description["files"])
    path = as_path(encoder)
    # What carries its encoder needs no other, but must not tell of this machine's folders either.
    is_local = path.is_dir() or encoder.startswith((".", "~"))
    tells_a_path = (
        path.is_absolute() or len(path.parts) > 2 or (len(path.parts) > 1 and path.exists())
    )
    if tells_a_path or (is_local and not carries_encoder):
        raise ArtifactError(
            f"{shown_path(folder / TASK_FILE)}: the model's encoder is a local folder, which "
            "nobody else has; train on the encoder's Hub id, name that with load(..., "
            "encoder=...), or push a model that carries its encoder: push_to_hub(..., merge=True)"
        )


def _commit(
    api: HfApi,
    repo_id: str,
    folder: Path,
    names: list[str],
    message: tuple[str, str],
    revision: str | None,
    *,
    create_pr: bool,
) -> CommitInfo:
    """One commit for all files, on top of what was looked at to find those to delete."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    head = api.model_info(repo_id, revision=revision).sha
    there = set(api.list_repo_files(repo_id, revision=head))
    earlier: list[str] = []
    if TASK_FILE in there:
        earlier = _declared(Path(api.hf_hub_download(repo_id, TASK_FILE, revision=head))) or []
    stale = sorted((there & set(earlier)) - set(names))
    # `upload_folder` may divide an upload into several commits; half a model must never be seen.
    return api.create_commit(
        repo_id,
        [
            *(CommitOperationDelete(name) for name in stale),
            *(CommitOperationAdd(name, str(folder / name)) for name in names),
        ],
        commit_message=message[0],
        commit_description=message[1],
        revision=revision,
        create_pr=create_pr,
        parent_commit=head,
    )


def _tag(api: HfApi, repo_id: str, tag: str, commit: CommitInfo) -> None:
    """Tag the commit; a tag that it has already is no error."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        api.create_tag(repo_id, tag=tag, revision=commit.oid)
    except HfHubHTTPError as error:
        if error.response.status_code != 409:
            raise
        if api.model_info(repo_id, revision=tag).sha != commit.oid:
            raise HubError(
                f"the model was pushed ({commit.commit_url}), but the tag {shown_value(tag)} names "
                "another commit of the repository; push again with another tag, nothing is sent "
                "twice"
            ) from error


def _declared(file: Path) -> list[str] | None:
    """The files that a `task.json` declares; None if it does not say."""
    try:
        return [str(name) for name in dict(read_object(file, mend="")["files"])]
    except (ArtifactError, ValueError, KeyError, TypeError):
        return None
