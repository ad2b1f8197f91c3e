"""One file per task: targets, loss, decoding, scores."""

from __future__ import annotations

from clinical_tl.tasks.diagnosis_coding import DiagnosisCoding
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.tasks.masked_language import MaskedLanguage
from clinical_tl.tasks.multi_label_classification import MultiLabelClassification
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.tasks.relation_extraction import RelationExtraction
from clinical_tl.tasks.task import Task as Task

# Defined, they are known: a saved task names its kind.
__all__ = [
    "DiagnosisCoding",
    "EntityRecognition",
    "MaskedLanguage",
    "MultiLabelClassification",
    "NoteClassification",
    "RelationExtraction",
    "Task",
]
