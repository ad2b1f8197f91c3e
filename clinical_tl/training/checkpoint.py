"""Checkpoints that survive a kill at any moment: safetensors and JSON, renamed into place."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinical_tl.errors import ArtifactError

if TYPE_CHECKING:
    import torch

_PREFIX = "checkpoint-"
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

    def save(self, folder: Path) -> None:
        """Write as the newest checkpoint of `folder`, then remove older ones."""
        from safetensors.torch import save_file

        name = f"{_PREFIX}{self.state['step']:08d}"
        draft = folder / f".{name}.tmp"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        for part in _FILES:
            tensors = {key: t.contiguous() for key, t in getattr(self, part).items()}
            save_file(tensors, draft / f"{part}.safetensors")
        (draft / "state.json").write_text(json.dumps(self.state), encoding="utf-8")
        final = folder / name
        shutil.rmtree(final, ignore_errors=True)
        draft.replace(final)
        for old in _checkpoints(folder)[:-1]:
            shutil.rmtree(old, ignore_errors=True)


def newest_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest complete checkpoint in `folder`, if any.

    Raises `ArtifactError` if it can't be read.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    found = _checkpoints(folder)
    if not found:
        return None
    newest = found[-1]
    try:
        state = json.loads((newest / "state.json").read_text(encoding="utf-8"))
        parts = {part: load_file(newest / f"{part}.safetensors") for part in _FILES}
    except (OSError, ValueError, SafetensorError) as error:
        raise ArtifactError(
            f"the checkpoint {newest} can't be read ({type(error).__name__}); remove the folder "
            "to start over, or train with resume=False"
        ) from error
    return Checkpoint(state, parts["weights"], parts["optimizer"], parts["best"])


def discard_checkpoints(folder: Path) -> None:
    """Remove all checkpoints of `folder`."""
    for old in _checkpoints(folder):
        shutil.rmtree(old, ignore_errors=True)


def _checkpoints(folder: Path) -> list[Path]:
    """Complete ones, oldest first; a draft never bears the name (`os.rename` is atomic)."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.name.startswith(_PREFIX))
