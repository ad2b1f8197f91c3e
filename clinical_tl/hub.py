"""Pushing a saved folder to the Hugging Face Hub, in one commit, private by default."""

from __future__ import annotations

from pathlib import Path

from clinical_tl.artifact import TASK_FILE, read_artifact
from clinical_tl.errors import ArtifactError


def push_folder(
    folder: str | Path, repo_id: str, *, private: bool = True, token: str | None = None
) -> str:
    """Upload a folder written by `save_pretrained`; returns the commit's address.

    Needs the network and a token (`hf auth login`, or `token`). Patients' notes trained these
    weights: look at the folder, and at the terms of your data, before making it public.

    Raises `ArtifactError` for a damaged folder, or for an adapter of a local encoder, which
    nobody else could load.
    """
    from huggingface_hub import HfApi

    folder = Path(folder)
    description = read_artifact(folder)
    encoder = description["encoder"]["name"]
    if description["adapter"] == "peft" and Path(encoder).is_dir():
        raise ArtifactError(
            f"{folder / TASK_FILE}: the adapter's encoder is a local folder, which nobody else "
            "has; train on the encoder's Hub id, or push a merged model (merge())"
        )
    api = HfApi(token=token)
    api.create_repo(repo_id, private=private, exist_ok=True)
    message = f"clinical_tl {description['package_version']}: {description['task']['kind']}"
    commit = api.upload_folder(repo_id=repo_id, folder_path=str(folder), commit_message=message)
    return str(commit)
