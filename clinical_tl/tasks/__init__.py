"""One file per task: targets, loss, decoding, scores."""

from __future__ import annotations

from typing import Any

from clinical_tl.tasks.diagnosis_coding import DiagnosisCoding
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.tasks.relation_extraction import RelationExtraction

TASKS: dict[str, Any] = {
    task.kind: task
    for task in (NoteClassification, DiagnosisCoding, EntityRecognition, RelationExtraction)
}
"""Task name in `task.json` → task."""
