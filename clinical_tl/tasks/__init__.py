"""One file per task: targets, loss, decoding, scores."""

from __future__ import annotations

from typing import Any

from clinical_tl.tasks.diagnosis_coding import DiagnosisCoding
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.tasks.note_classification import NoteClassification

TASKS: dict[str, Any] = {
    task.kind: task for task in (NoteClassification, DiagnosisCoding, EntityRecognition)
}
"""Task name in `task.json` → task."""
