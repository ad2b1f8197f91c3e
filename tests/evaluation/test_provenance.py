"""A report says which model, encoder, settings and notes it is of; no path of a machine."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from clinical_tl.evaluation.evaluating import evaluation_report
from clinical_tl.evaluation.page import report_page
from clinical_tl.evaluation.provenance import EvaluatedModel, Provenance
from clinical_tl.metrics.thresholds import Thresholds
from clinical_tl.models.feature_model import FeatureModel
from clinical_tl.models.loading import load
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.network.lora import LoRA
from clinical_tl.release.folder import ReleaseFolder
from clinical_tl.release.identifiers import check_identifiers
from clinical_tl.saved.evaluations import set_digest
from clinical_tl.schema import Note
from clinical_tl.tasks.diagnosis_coding import DiagnosisCoding
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.training.config import TrainingConfig
from clinical_tl.training.fitting import fit
from clinical_tl.version import __version__

QUICK = {"resamples": 5, "progress": False, "allow_leakage": True}


@pytest.fixture(scope="module")
def trained(tiny_encoder, synthetic_notes, tmp_path_factory):
    notes = list(synthetic_notes)[:20]
    task = NoteClassification.from_notes(notes)
    model = TransferModel.from_pretrained(tiny_encoder, task, adapter=LoRA(r=3, alpha=5))
    config = TrainingConfig(epochs=2, seed=4, progress=False)
    fit(model, notes, notes, config, allow_leakage=True)
    return notes, model.save_pretrained(tmp_path_factory.mktemp("made") / "my-model")


def test_a_loaded_model_is_named_with_adapter_encoder_and_training(trained, tiny_encoder):
    notes, folder = trained
    report = evaluation_report(load(folder), notes, **QUICK)
    found = report.model
    assert (found.kind, found.saved_as) == ("encoder with an adapter", "my-model")
    assert (found.encoder, found.revision) == (tiny_encoder.name, None)
    settings = {"method": "LORA", "rank": 3, "alpha": 5, "seed": 4, "train_notes": 20}
    assert settings.items() <= found.settings.items()
    assert [row["epoch"] for row in found.epochs] == [1, 2]
    assert all(row["loss"] > 0 and row["dev"] is not None for row in found.epochs)
    page = report_page(report)
    assert "Learning curve" in page
    assert "my-model" in page
    assert str(tiny_encoder.parent) not in page + json.dumps(report.to_dict())


def test_the_report_of_a_model_can_leave_with_it(trained):
    notes, folder = trained
    evaluation_report(load(folder), notes, **QUICK).save(folder)
    read = ReleaseFolder.read(folder)
    assert "report.json" not in check_identifiers(read, notes).reason


def test_a_model_trained_on_is_no_longer_what_was_loaded(trained):
    notes, folder = trained
    model = load(folder)
    config = TrainingConfig(epochs=1, progress=False)
    fit(model, notes, None, config)
    assert model.saved_as is None


def test_a_linear_model_too(tiny_encoder, trained):
    notes, _ = trained
    task = NoteClassification.from_notes(notes)
    settings = {"strengths": [1.0], "progress": False}
    found = EvaluatedModel.of(FeatureModel.fit(tiny_encoder, task, notes, **settings), task)
    assert found.kind == "linear model on frozen features"
    assert found.settings["inverse_l2_strength"] == 1.0
    assert (found.saved_as, found.encoder) == (None, tiny_encoder.name)


def test_settings_that_a_later_version_keeps_are_shown_and_paths_are_not():
    training = {
        "config": {"learning_rate": 0.003, "output_dir": "runs/x"},
        "trackers": "/home/me",
        "batch_tokens": 256,
        "notes_sha256": "ab",
    }
    model = SimpleNamespace(metrics={"training": training})
    task = NoteClassification.from_notes([Note("a", "x", label="a"), Note("b", "x", label="b")])
    settings = EvaluatedModel.of(model, task).settings
    assert settings == {"learning_rate": 0.003, "batch_tokens": 256}


def test_thresholds_of_all_labels_or_of_each():
    task = DiagnosisCoding.from_notes([Note(c, "x", codes=(c,)) for c in ("I10", "E11.9")])
    one = replace(task, thresholds=Thresholds(0.3))
    assert EvaluatedModel.of(object(), one).threshold == 0.3
    each = replace(task, thresholds=Thresholds(0.3, per_label=(0.2, 0.4)))
    found = EvaluatedModel.of(object(), each)
    assert (found.thresholds, found.threshold) == ({"E11.9": 0.2, "I10": 0.4}, None)


def test_the_data_are_told_by_hashes_of_texts_and_of_gold(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    notes = [Note("1", "fever", label="a"), Note("2", "cough", label="b")]
    task = NoteClassification.from_notes(notes)
    made = Provenance.of(task, notes)
    assert (made.day, made.version, made.notes_sha256) == (
        "1970-01-02",
        __version__,
        set_digest(notes),
    )
    assert Provenance.of(task, notes[::-1]) == made
    other = Provenance.of(task, [replace(notes[0], label="b"), notes[1]])
    assert other.notes_sha256 == made.notes_sha256
    assert other.gold_sha256 != made.gold_sha256
