"""Transfer learning on clinical text: note classification, ICD coding, entity recognition.

Everything public is imported on first use, so that `import clinical_tl` is instant.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from clinical_tl.auto_model import load_model as load_model
    from clinical_tl.data.corpora import load_corpus as load_corpus
    from clinical_tl.data.corpora import note_splits as note_splits
    from clinical_tl.data.notes import Notes as Notes
    from clinical_tl.data.prediction_records import predictions_table as predictions_table
    from clinical_tl.data.prediction_records import write_predictions as write_predictions
    from clinical_tl.data.reading import read_notes as read_notes
    from clinical_tl.data.splits import split_notes as split_notes
    from clinical_tl.data.synthetic import generate_notes as generate_notes
    from clinical_tl.data.writing import write_notes as write_notes
    from clinical_tl.errors import ClinicalTLError as ClinicalTLError
    from clinical_tl.estimators.feature_classifier import FeatureClassifier as FeatureClassifier
    from clinical_tl.model_card import write_card as write_card
    from clinical_tl.model_collection import load_many as load_many
    from clinical_tl.models.conversion import convert_encoder as convert_encoder
    from clinical_tl.models.lora import LoRA as LoRA
    from clinical_tl.onnx_export import export_onnx as export_onnx
    from clinical_tl.onnx_model import OnnxModel as OnnxModel
    from clinical_tl.release.canaries import canary_notes as canary_notes
    from clinical_tl.release.gate import check_release as check_release
    from clinical_tl.release.push import push_folder as push_folder
    from clinical_tl.report.evaluation import evaluation_report as evaluation_report
    from clinical_tl.report.evaluation import report_on as report_on
    from clinical_tl.report.highlight import highlight as highlight
    from clinical_tl.schema import LabelSet as LabelSet
    from clinical_tl.schema import Note as Note
    from clinical_tl.schema import Prediction as Prediction
    from clinical_tl.schema import Relation as Relation
    from clinical_tl.schema import Span as Span
    from clinical_tl.table import format_table as format_table
    from clinical_tl.tasks.diagnosis_coding import DiagnosisCoding as DiagnosisCoding
    from clinical_tl.tasks.entity_recognition import EntityRecognition as EntityRecognition
    from clinical_tl.tasks.note_classification import NoteClassification as NoteClassification
    from clinical_tl.tasks.relation_extraction import RelationExtraction as RelationExtraction
    from clinical_tl.training.config import TrainingConfig as TrainingConfig
    from clinical_tl.training.dp import DP as DP
    from clinical_tl.training.fit import fit as fit
    from clinical_tl.transfer.domain_adaptation import adapt_encoder as adapt_encoder
    from clinical_tl.transfer.embeddings import embed as embed
    from clinical_tl.transfer.feature_extraction import FeatureModel as FeatureModel
    from clinical_tl.transfer.matching import match_labels as match_labels
    from clinical_tl.transfer.matching import match_notes as match_notes
    from clinical_tl.transfer.ranking import rank_encoders as rank_encoders
    from clinical_tl.transfer.self_training import self_train as self_train
    from clinical_tl.transfer.similarity import similarity as similarity
    from clinical_tl.transfer_model import TransferModel as TransferModel

_HOMES = {
    "read_notes": "data.reading",
    "write_notes": "data.writing",
    "split_notes": "data.splits",
    "generate_notes": "data.synthetic",
    "Notes": "data.notes",
    "load_corpus": "data.corpora",
    "note_splits": "data.corpora",
    "write_predictions": "data.prediction_records",
    "predictions_table": "data.prediction_records",
    "format_table": "table",
    "evaluation_report": "report.evaluation",
    "report_on": "report.evaluation",
    "highlight": "report.highlight",
    "Note": "schema",
    "Span": "schema",
    "Relation": "schema",
    "Prediction": "schema",
    "LabelSet": "schema",
    "NoteClassification": "tasks.note_classification",
    "DiagnosisCoding": "tasks.diagnosis_coding",
    "EntityRecognition": "tasks.entity_recognition",
    "RelationExtraction": "tasks.relation_extraction",
    "LoRA": "models.lora",
    "TransferModel": "transfer_model",
    "load_model": "auto_model",
    "convert_encoder": "models.conversion",
    "TrainingConfig": "training.config",
    "fit": "training.fit",
    "embed": "transfer.embeddings",
    "FeatureClassifier": "estimators.feature_classifier",
    "FeatureModel": "transfer.feature_extraction",
    "similarity": "transfer.similarity",
    "rank_encoders": "transfer.ranking",
    "match_labels": "transfer.matching",
    "match_notes": "transfer.matching",
    "adapt_encoder": "transfer.domain_adaptation",
    "self_train": "transfer.self_training",
    "push_folder": "release.push",
    "write_card": "model_card",
    "canary_notes": "release.canaries",
    "check_release": "release.gate",
    "load_many": "model_collection",
    "export_onnx": "onnx_export",
    "OnnxModel": "onnx_model",
    "DP": "training.dp",
    "ClinicalTLError": "errors",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:  # noqa: ANN401  (whatever the name stands for)
    if name not in _HOMES:
        raise AttributeError(f"module 'clinical_tl' has no attribute {name!r}")
    return getattr(importlib.import_module(f"clinical_tl.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
