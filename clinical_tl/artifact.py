"""The saved folder: what is in it, what it was made with, and whether it is whole.

adapter_config.json, adapter_model.safetensors   an adapter (plain peft), or
config.json, model.safetensors                   a full model (plain transformers)
head.safetensors                                 the label-attention head, where there is one
novelty.json, novelty.safetensors                the novelty detector, where one was fitted
task.json                                        task, encoder, windows, hashes of all files
metrics.json                                     scores and training figures
report.json                                      an evaluation report, where one was added
tokenizer.json, …                                the tokenizer
README.md                                        a model card to complete
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from clinical_tl.errors import ArtifactError, shown_path

logger = logging.getLogger(__name__)

FORMAT = 1
TASK_FILE = "task.json"
METRICS_FILE = "metrics.json"
REPORT_FILE = "report.json"
CARD_FILE = "README.md"

_KEYS = {"format", "package_version", "task", "encoder", "adapter", "windowing", "files"}


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
    `folder` is replaced; a model card that somebody edited stays if the model is the same.

    Raises `ArtifactError` if `folder` holds anything that is not an artifact.
    """
    if folder.exists() and not (folder / TASK_FILE).exists() and any(folder.iterdir()):
        raise ArtifactError(
            f"{folder} is not empty and holds no {TASK_FILE}: it is no artifact to replace; "
            "choose another folder"
        )
    draft = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        write_files(draft)
        _write_json(draft / METRICS_FILE, metrics)
        files = {
            file.name: _sha256(file) for file in sorted(draft.iterdir()) if file.name != CARD_FILE
        }
        (draft / CARD_FILE).write_text(_edited_card(folder, files) or card, encoding="utf-8")
        written = hashlib.sha256(card.encode()).hexdigest()
        row = {"format": FORMAT, **description, "files": files, "card": written}
        _write_json(draft / TASK_FILE, row)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)
    draft.replace(folder)


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
    file = folder / TASK_FILE
    if not file.is_file():
        raise ArtifactError(
            f"{shown_path(folder)} holds no {TASK_FILE}; give a folder written by save_pretrained()"
        )
    try:
        description = json.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, ValueError) as error:
        raise ArtifactError(f"{file} is no valid JSON; save the model again") from error
    if not isinstance(description, dict) or not description.keys() >= _KEYS:
        missing = sorted(_KEYS - set(description)) if isinstance(description, dict) else "all keys"
        raise ArtifactError(f"{file} lacks {missing}; save the model again")
    if description["format"] != FORMAT:
        raise ArtifactError(
            f"{file} has format {description['format']!r}, this version reads format {FORMAT}; "
            f"it was written by clinical_tl {description['package_version']}: use that version"
        )
    wrong = []
    for name, digest in description["files"].items():
        if not (folder / name).is_file():
            wrong.append(f"{shown_path(name)} is missing")
        elif _sha256(folder / name) != digest:
            wrong.append(f"{shown_path(name)} differs from what was saved")
    if wrong:
        raise ArtifactError(
            f"{folder} is damaged: {'; '.join(wrong)}; copy the folder again, or save the model "
            "again"
        )
    return description


def read_metrics(folder: Path) -> dict[str, Any]:
    """The content of `metrics.json`."""
    return dict(json.loads((folder / METRICS_FILE).read_text(encoding="utf-8")))


def _write_json(file: Path, value: Mapping[str, Any]) -> None:
    file.write_text(
        json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8"
    )


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        digest = hashlib.sha256()
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
