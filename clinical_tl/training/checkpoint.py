"""Checkpoints that survive a kill at any moment: safetensors and JSON, renamed into place.

No name is used twice, and the two newest are kept: what can't be read any more, or is not what
was written, is passed over for the one before it.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinical_tl.errors import ArtifactError, refusing
from clinical_tl.storage.replacement import discard, replacing_folder
from clinical_tl.storage.sealed_json import file_digest, read_sealed, write_sealed

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

KEPT = 2
STATE_FILE = "state.json"
_NAME = re.compile(r"checkpoint-(\d{8,})-(\d{4,})")
_FILES = ("weights", "optimizer", "best")


@dataclass(frozen=True)
class Checkpoint:
    """Everything that training needs to go on as if it had never stopped.

    `state` is JSON: where in the plan training is, the metrics so far, the fingerprint of
    settings and data. `weights` are the trainable parameters, `optimizer` its moments (keys
    `<parameter>/<moment>`), `best` the weights of the best epoch (empty before the first).
    Random numbers need no state: each batch seeds its own from the run's seed and the step.
    """

    state: dict[str, Any]
    weights: dict[str, torch.Tensor]
    optimizer: dict[str, torch.Tensor]
    best: dict[str, torch.Tensor]

    def save(self, folder: Path) -> Path:
        """Write as the newest checkpoint of `folder`, then remove all but the one before it.

        Raises `OutputError` where it can't be written; earlier ones are then as they were.
        """
        from safetensors.torch import save_file

        earlier = _checkpoints(folder)
        number = 1 + int(_numbers(earlier[-1])[1]) if earlier else 0
        target = folder / f"checkpoint-{self.state['step']:08d}-{number:04d}"
        with replacing_folder(target) as draft:
            digests = {}
            for part in _FILES:
                file = draft / f"{part}.safetensors"
                save_file({k: t.contiguous() for k, t in getattr(self, part).items()}, file)
                digests[file.name] = file_digest(file)
            write_sealed(draft / STATE_FILE, {"state": self.state, "files": digests})
        for old in _checkpoints(folder)[:-KEPT]:
            discard(old)
        return target


def newest_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest checkpoint in `folder` that is as it was written, if there is any.

    Raises `ArtifactError` if there are some, but none is.
    """
    found = _checkpoints(folder)
    faults: list[str] = []
    for path in reversed(found):
        try:
            checkpoint = _read(path)
        except ArtifactError as error:
            faults.append(str(error))
            continue
        for fault in faults:
            logger.warning("%s. Going on from %s instead", fault, path.name)
        return checkpoint
    if faults:
        raise ArtifactError(
            f"{'; '.join(faults)}. No checkpoint of {folder} can be used: copy them again from "
            "where they are whole, or train with resume=False, which starts over and removes them"
        )
    return None


def discard_checkpoints(folder: Path) -> None:
    """Remove all checkpoints of `folder`."""
    for old in _checkpoints(folder):
        discard(old)


def _read(path: Path) -> Checkpoint:
    from safetensors.torch import load_file

    mend = "it is damaged"
    content = read_sealed(path / STATE_FILE, mend=mend)
    parts = {}
    with refusing(ArtifactError, f"the checkpoint {path} can't be read", mend):
        for part in _FILES:
            file = path / f"{part}.safetensors"
            if file_digest(file) != content["files"][file.name]:
                raise ArtifactError(f"{file} differs from what was saved; {mend}")
            parts[part] = load_file(file)
        return Checkpoint(dict(content["state"]), **parts)


def _checkpoints(folder: Path) -> list[Path]:
    """Oldest first, by the order of saving; a draft never bears such a name."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)]
    return sorted(found, key=lambda path: int(_numbers(path)[1]))


def _numbers(path: Path) -> tuple[str, ...]:
    match = _NAME.fullmatch(path.name)
    return match.groups() if match else ()
