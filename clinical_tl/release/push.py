"""Pushing a saved folder to the Hugging Face Hub, private by default, if the release gate allows.

Only the files that `task.json` declares are sent: whatever else lies in the folder stays there.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from clinical_tl.errors import ConfigError, HubError, shown_id, shown_path, shown_value
from clinical_tl.release.gate import ReleaseReport, require_release
from clinical_tl.saved.artifact import CARD_FILE, TASK_FILE, read_artifact
from clinical_tl.saved.card_licence import licence_named, with_stated_licence
from clinical_tl.saved.hub import declared_files
from clinical_tl.storage.hub_failure import speaking_to_hub
from clinical_tl.storage.paths import as_path
from clinical_tl.storage.processes import on_main_process

if TYPE_CHECKING:
    from typing import Unpack

    from huggingface_hub import CommitInfo, HfApi

    from clinical_tl.data.notes import NotesLike
    from clinical_tl.release.check import DataUse

logger = logging.getLogger(__name__)


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
    encoder: str | Path | None
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
    encoder: str | Path | None = None,
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
        overrides: names of checks whose block is lifted or whose warning is answered. A licence
            that is stated so (`"licence=mit"`) is also written into the card that is sent.
        encoder: where the model's encoder lies, for the audit, if not where it was in training.
        train: the training notes, to look for quotations and to audit memorisation.
        held_out: notes like them that training did not see.

    Raises:
        ArtifactError: a damaged folder.
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
    report = require_release(
        folder,
        repo_private=private,
        data_use=data_use,
        overrides=overrides,
        encoder=encoder,
        train=train,
        held_out=held_out,
    )
    for check in report.checks:
        if check.status != "pass":
            lifted = (
                f" (lifted by {shown_id(check.overridden_by, 'reason')!r})"
                if check.overridden_by
                else ""
            )
            logger.warning("release gate, %s: %s%s", check.name, check.reason, lifted)
    contents: dict[str, Path | bytes] = {
        name: folder / name for name in (*description["files"], TASK_FILE)
    }
    if (folder / CARD_FILE).is_file():
        contents[CARD_FILE] = _card(folder / CARD_FILE, report)
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
            api, repo_id, contents, (message, _account(report)), revision, create_pr=create_pr
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
    in the error, where the Hub could not take it. What leaves is read from there again: the gate
    looks at the files and not at what is in memory. Of several processes the first does it all.
    Raises what `push_folder` does.
    """

    def push() -> str:
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

    return on_main_process(push)


def _card(file: Path, report: ReleaseReport) -> Path | bytes:
    """The card to send: with the licence that was stated in the place of one that is known."""
    override = report.licence_override
    if override is None:
        return file
    text = file.read_text(encoding="utf-8")
    return with_stated_licence(text, licence_named(override)).encode()


def _account(report: ReleaseReport) -> str:
    """For the commit: the data's terms, and how each check of the release gate ended.

    Reasons stay here: a person wrote them, and they may name persons.
    """
    ends = [
        f"{check.name}: {'lifted' if check.overridden_by else check.status}"
        for check in report.checks
    ]
    return f"Data use: {report.data_use}. Release gate: {', '.join(ends)}."


def _commit(
    api: HfApi,
    repo_id: str,
    contents: Mapping[str, Path | bytes],
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
        earlier = declared_files(Path(api.hf_hub_download(repo_id, TASK_FILE, revision=head))) or []
    stale = sorted((there & set(earlier)) - set(contents))
    # `upload_folder` may divide an upload into several commits; half a model must never be seen.
    return api.create_commit(
        repo_id,
        [
            *(CommitOperationDelete(name) for name in stale),
            *(
                CommitOperationAdd(name, str(content) if isinstance(content, Path) else content)
                for name, content in contents.items()
            ),
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
