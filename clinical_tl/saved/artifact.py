"""The saved folder: what is in it, what it was made with, and whether it is whole.

adapter_config.json, adapter_model.safetensors   an adapter (plain peft), or
config.json, model.safetensors                   a full model (plain transformers)
head.safetensors                                 the label-attention head, where there is one
novelty.safetensors                              the novelty detector, where one was fitted
open_codes.safetensors                           the open code set, where one was fitted
task.json                                        task, encoder, windows, hashes of all files,
                                                 and its own
metrics.json                                     scores and training figures
report.json                                      an evaluation report, where one was added
config.yaml                                      what a recipe was called with (never pushed)
tokenizer.json, …                                the tokenizer
README.md                                        a model card to complete
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from clinical_tl.errors import ArtifactError, shown_id, shown_ids, shown_path
from clinical_tl.saved.run_settings import SETTINGS_FILE, write_settings
from clinical_tl.storage.replacement import replacing_folder, whole_folder
from clinical_tl.storage.sealed_json import file_digest, read_object, read_sealed, write_sealed

logger = logging.getLogger(__name__)

FORMAT = 1
TASK_FILE = "task.json"
METRICS_FILE = "metrics.json"
REPORT_FILE = "report.json"
CARD_FILE = "README.md"
ADAPTATION_FILE = "adaptation.json"
"""What an adapted encoder has in place of `task.json`."""

_KEYS: dict[str, type] = {
    "format": int,
    "package_version": str,
    "task": dict,
    "encoder": dict,
    "adapter": str,
    "windowing": dict,
    "files": dict,
}
_SHA256 = re.compile(r"[0-9a-f]{64}")
# What a model is made of; loading must never meet one that was not saved with it.
_DECIDES = re.compile(
    r".*\.(safetensors|bin|pt|pth|onnx|data|index\.json)|(config|adapter_config|tokenizer"
    r"|tokenizer_config|special_tokens_map|added_tokens|vocab)\.json|(vocab|merges)\.txt"
)
_OWN = {TASK_FILE, REPORT_FILE, CARD_FILE}


def write_artifact(
    folder: Path,
    description: Mapping[str, Any],
    *,
    metrics: Mapping[str, Any],
    card: str,
    write_files: Callable[[Path], None],
) -> None:
    """Write a complete folder or leave what was there untouched.

    `write_files` puts weights and tokenizer into the folder it is given; `description` is
    the content of `task.json` but for the format and the hashes. An earlier artifact at
    `folder` is replaced; a model card that somebody edited stays if the model is the same, and
    whatever is no part of a model (predictions, checkpoints) stays anyway.

    Raises `ArtifactError` if `folder` holds anything that is not an artifact, `OutputError` if
    it can't be written.
    """
    folder = whole_folder(folder)
    if folder.is_dir() and not (folder / TASK_FILE).exists() and any(folder.iterdir()):
        raise ArtifactError(
            f"{folder} is not empty and holds no {TASK_FILE}: it is no artifact to replace; "
            "choose another folder"
        )
    with replacing_folder(folder) as draft:
        write_files(draft)
        _write_json(draft / METRICS_FILE, metrics)
        files = {
            file.name: file_digest(file)
            for file in sorted(draft.iterdir())
            if file.name != CARD_FILE
        }
        (draft / CARD_FILE).write_text(_edited_card(folder, files) or card, encoding="utf-8")
        written = hashlib.sha256(card.encode()).hexdigest()
        row = {"format": FORMAT, **description, "files": files, "card": written}
        write_sealed(draft / TASK_FILE, row)
        write_settings(draft)
        _keep_others(folder, draft, files)


def refuse_others(folder: Path, draft: Path) -> None:
    """Raise `ArtifactError` where replacing `folder` by `draft` would lose anything else in it."""
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    others = sorted(there - {path.name for path in draft.iterdir()})
    if others:
        raise ArtifactError(
            f"{shown_path(folder)} holds {len(others)} other files or folders "
            f"({shown_ids(others, 'name')}), which would be lost; choose another folder"
        )


def _keep_others(folder: Path, draft: Path, files: Mapping[str, str]) -> None:
    """Take over what lies in an artifact's folder without being a part of it, by hard links.

    The settings of a run are kept with the model that it made, not beside another one.
    """
    try:
        earlier = dict(read_sealed(folder / TASK_FILE, mend="")["files"])
    except (ArtifactError, TypeError, ValueError, KeyError):
        return
    parts = set(earlier) | _OWN
    # Scores are added to a model by evaluating it.
    if {**earlier, METRICS_FILE: ""} != {**files, METRICS_FILE: ""}:
        parts.add(SETTINGS_FILE)
    for other in folder.iterdir():
        if other.name in parts or (draft / other.name).exists() or _DECIDES.fullmatch(other.name):
            continue
        if other.is_dir() and not other.is_symlink():
            shutil.copytree(other, draft / other.name, copy_function=_link, symlinks=True)
        else:
            _link(other, draft / other.name)


def _link(source: str | Path, target: str | Path) -> None:
    with suppress(OSError):
        os.link(source, target, follow_symlinks=False)
        return
    shutil.copy2(source, target, follow_symlinks=False)


def _edited_card(folder: Path, files: Mapping[str, str]) -> str | None:
    """The card of an earlier artifact, if it is not as it was written and still true."""
    try:
        text = (folder / CARD_FILE).read_text(encoding="utf-8")
        earlier = dict(json.loads((folder / TASK_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    if earlier.get("card") in (None, hashlib.sha256(text.encode()).hexdigest()):
        return None
    if earlier.get("files") != files:
        logger.warning(
            "%s: the model is another one now, so its edited card was written anew; say again "
            "what only you know with write_card(folder, details=...)",
            folder / CARD_FILE,
        )
        return None
    return text


def read_artifact(folder: Path) -> dict[str, Any]:
    """The description in `task.json`, after every file's hash was checked.

    The model card is meant to be edited and is not hashed. Raises `ArtifactError` for a
    folder that is no artifact, of a later format, or with files missing or changed.
    """
    folder = whole_folder(folder)
    file = folder / TASK_FILE
    if not file.is_file():
        raise ArtifactError(
            f"{shown_path(folder)} holds no {TASK_FILE}; give a folder written by save_pretrained()"
        )
    mend = "copy the folder again, or save the model again"
    description = read_object(file, mend=mend)
    if description.get("format", FORMAT) != FORMAT:
        raise ArtifactError(
            f"{file} has format {shown_id(description['format'])}, this version reads format "
            f"{FORMAT}; load it with the version of clinical_tl that wrote it"
        )
    wrong = [name for name, kind in _KEYS.items() if not isinstance(description.get(name), kind)]
    if wrong:
        raise ArtifactError(f"{file} lacks {wrong}, or has something else there; {mend}")
    description = read_sealed(file, mend=mend)
    encoder = description["encoder"]
    named = all(isinstance(encoder.get(key), str) for key in ("name", "sha256"))
    if not named or not isinstance(encoder.get("revision", 0), str | None):
        raise ArtifactError(f"{file} does not say which encoder the model is for; {mend}")
    faults = list(_faults(folder, description["files"]))
    if faults:
        raise ArtifactError(f"{shown_path(folder)} is damaged: {'; '.join(faults)}; {mend}")
    return description


def _faults(folder: Path, files: Mapping[str, object]) -> Iterator[str]:
    if METRICS_FILE not in files:
        yield f"{TASK_FILE} does not say which files there are"
    for name, digest in files.items():
        shown = shown_path(name)
        if Path(name).name != name or not _SHA256.fullmatch(str(digest)):
            yield f"{shown} is no file's name, or has no hash"
        elif not (folder / name).is_file():
            yield f"{shown} is missing"
        elif file_digest(folder / name) != digest:
            yield f"{shown} differs from what was saved"
    for file in folder.iterdir():
        if file.name not in files and _DECIDES.fullmatch(file.name):
            yield f"{shown_path(file.name)} was not saved with the model"


def read_metrics(folder: Path) -> dict[str, Any]:
    """The content of `metrics.json`. Raises `ArtifactError` if there is none, or it is damaged."""
    return read_object(folder / METRICS_FILE, mend="save the model again")


def _write_json(file: Path, value: Mapping[str, Any]) -> None:
    file.write_text(
        json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8"
    )
