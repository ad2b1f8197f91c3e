"""Notes that were learnt from are not scored, unless by name, and then the scores say so."""

import json

import pytest

from clinical_tl.data.corpora import note_splits
from clinical_tl.data.notes import as_notes
from clinical_tl.data.writing import write_notes
from clinical_tl.errors import NoteError
from clinical_tl.evaluation.evaluating import evaluation_report
from clinical_tl.evaluation.page import report_page
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.saved.evaluations import leaks_of
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.training.config import TrainingConfig
from clinical_tl.training.fitting import fit

QUICK = TrainingConfig(epochs=1, progress=False)


@pytest.fixture
def notes(synthetic_notes):
    return as_notes(synthetic_notes)


@pytest.fixture
def halves(notes):
    """Training notes, and notes of other patients."""
    first = {note.patient_id for note in notes[:20]}
    return notes[:20], [note for note in notes[20:] if note.patient_id not in first]


@pytest.fixture
def model(tiny_encoder, notes):
    task = NoteClassification.from_notes(notes)
    return TransferModel.from_pretrained(tiny_encoder, task, window=64, overlap=16)


def test_dev_notes_of_training_patients_are_refused_before_anything_is_trained(model, notes):
    before = {name: p.clone() for name, p in model.network.trainable().items()}
    with pytest.raises(NoteError, match=r"the dev notes and the training notes share 6 patients"):
        fit(model, notes[:20], notes[:8], QUICK)
    after = model.network.trainable()
    assert all(before[name].equal(after[name]) for name in before)
    assert "training" not in model.metrics


def test_an_override_marks_scores_card_and_report(model, halves, tmp_path):
    train, apart = halves
    fit(model, train, apart, QUICK)
    assert model.metrics["leakage"]["dev"]["patients"] == 0
    with pytest.raises(NoteError, match="the test notes and the training and dev notes share"):
        model.evaluate(train[:5])
    with pytest.raises(NoteError, match="training and dev notes"):
        model.evaluate(apart)
    assert "test" not in model.metrics
    model.evaluate(apart, name="dev")
    model.evaluate(train, name="train")
    model.evaluate(train[:5], allow_leakage=True, progress=False)
    assert model.metrics["leakage"]["test"]["of_patients"] == 5
    assert "share with the training notes: " in leaks_of(model.metrics)["test"]
    folder = model.save_pretrained(tmp_path / "model")
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "The test notes share with the training notes:" in card
    report = evaluation_report(model, train[:5], allow_leakage=True, resamples=5, progress=False)
    assert report.leakage["of_patients"] == 5
    assert "The test notes share with the training notes:" in report_page(report)


def test_a_saved_model_tells_nobody_whose_notes_it_has_seen(model, halves, tmp_path):
    train, apart = halves
    fit(model, train, None, QUICK)
    folder = model.save_pretrained(tmp_path / "model")
    kept = (folder / "metrics.json").read_text() + (folder / "task.json").read_text()
    assert not any(note.patient_id in kept for note in train)
    assert {bytes.hex(key) for key in model.seen.train.texts}.isdisjoint(kept.split('"'))
    loaded = TransferModel.load(folder)
    assert loaded.seen is None
    loaded.evaluate(train[:5], progress=False)
    assert loaded.metrics["leakage"]["test"] is None
    assert "was not checked" in leaks_of(loaded.metrics)["test"]
    with pytest.raises(NoteError, match="the notes that the model was trained on"):
        loaded.evaluate(train)
    with pytest.raises(NoteError, match="share"):
        loaded.evaluate(train[:5], train=train)
    loaded.evaluate(apart, train=train, progress=False)
    assert loaded.metrics["leakage"]["test"]["patients"] == 0


def test_a_model_remembers_what_it_was_trained_on_before(model, halves, tiny_encoder):
    train, apart = halves
    fit(model, train, None, QUICK)
    fit(model, apart, None, QUICK)
    with pytest.raises(NoteError, match="share"):
        model.evaluate(train[:5])
    task = model.task
    target = TransferModel.from_pretrained(tiny_encoder, task, window=64, overlap=16)
    with pytest.raises(NoteError, match="the dev notes and the training notes share"):
        fit(target, apart[:4], train[:5], QUICK, init_adapter=model)


def test_files_that_share_patients_are_refused(notes, tmp_path):
    write_notes(notes[:20], tmp_path / "train.jsonl")
    write_notes(notes[18:30], tmp_path / "test.jsonl")
    files = {"train": tmp_path / "train.jsonl", "test": tmp_path / "test.jsonl"}
    with pytest.raises(NoteError, match="the test notes and the train notes share") as caught:
        note_splits(**files)
    assert json.dumps(notes[18].text)[1:20] not in str(caught.value)
    assert len(note_splits(**files, allow_leakage=True)["test"]) == 12
