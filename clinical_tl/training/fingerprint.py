"""What two runs must share for one to go on where the other stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from clinical_tl.schema import Note

if TYPE_CHECKING:
    from clinical_tl.tasks.task import Task
    from clinical_tl.training.config import TrainingConfig

# Settings that change what is written or shown, not what is learned.
FREE = frozenset({"output_dir", "resume", "progress", "trackers", "checkpoint_steps"})


def fingerprint(
    config: TrainingConfig, task: Task, notes: Sequence[Note], shares: int, origin: str | None
) -> dict[str, Any]:
    """Settings as they are, notes and task as hashes; `origin` is the source model's."""
    texts = hashlib.sha256()
    for note in notes:
        texts.update(f"{note.note_id}\0{note.text}\0".encode())
    labels = hashlib.sha256(json.dumps(task.to_dict(), sort_keys=True).encode())
    return {
        **{name: value for name, value in asdict(config).items() if name not in FREE},
        "shares": shares,
        "init_adapter": origin,
        "training notes": texts.hexdigest(),
        "task": labels.hexdigest(),
    }
