"""A model that says which notes are unlike those it was trained on, before and after saving."""

import json

import numpy as np
import pytest
import torch

from clinical_tl.data.predictions import write_predictions
from clinical_tl.errors import ArtifactError, NoteError, ReleaseError, TaskError
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.schema import Note
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.tasks.note_classification import NoteClassification

STRANGE = ["zzz qqq " * 40, "1 2 3 4 5 6 7 8 9 " * 20, "!!! ??? " * 30]


@pytest.fixture(scope="module")
def fitted(tiny_encoder, synthetic_notes):
    train = synthetic_notes.select(range(30))
    model = TransferModel.from_pretrained(tiny_encoder, NoteClassification.from_notes(train))
    model.fit_novelty(train)
    return model


def scores(predictions):
    return np.array([prediction.novelty for prediction in predictions])


def test_strange_notes_score_higher_and_the_rest_is_as_before(fitted, synthetic_notes):
    known = synthetic_notes.select(range(30, 40))
    predictions = fitted.predict(known, with_novelty=True)
    assert scores(predictions).max() < scores(fitted.predict(STRANGE, with_novelty=True)).min()
    for with_it, without in zip(predictions, fitted.predict(known), strict=True):
        assert without.novelty is None
        assert (with_it.note_id, with_it.label) == (without.note_id, without.label)
    assert fitted.predict([], with_novelty=True) == []


def test_the_scores_are_the_detectors_on_the_models_embeddings(fitted):
    embeddings = fitted.embed_texts(STRANGE).numpy()
    expected = fitted.novelty.novelty(embeddings)
    found = scores(fitted.predict(STRANGE, with_novelty=True))
    np.testing.assert_allclose(found, expected)
    assert (fitted.novelty.rank(found) == 100).all()


def test_it_is_saved_with_the_artifact_and_hashed(fitted, tmp_path):
    folder = fitted.save_pretrained(tmp_path / "model")
    loaded = TransferModel.load(folder)
    expected = scores(fitted.predict(STRANGE, with_novelty=True))
    np.testing.assert_allclose(scores(loaded.predict(STRANGE, with_novelty=True)), expected)
    files = json.loads((folder / "task.json").read_text())["files"]
    assert "novelty.safetensors" in files
    (folder / "novelty.safetensors").unlink()
    with pytest.raises(ArtifactError, match=r"novelty\.safetensors is missing"):
        TransferModel.load(folder)


def test_without_a_detector_the_error_says_how_to_get_one(tiny_encoder, synthetic_notes, tmp_path):
    task = EntityRecognition.from_notes(synthetic_notes)
    model = TransferModel.from_pretrained(tiny_encoder, task)
    with pytest.raises(TaskError, match=r"fit one with model\.fit_novelty"):
        model.predict(STRANGE, with_novelty=True)
    loaded = TransferModel.load(model.save_pretrained(tmp_path / "model"))
    assert loaded.novelty is None
    assert not list((tmp_path / "model").glob("novelty*"))


def test_a_detector_is_stale_once_the_encoder_was_trained(tiny_encoder, synthetic_notes):
    train = synthetic_notes.select(range(12))
    model = TransferModel.from_pretrained(
        tiny_encoder, NoteClassification.from_notes(train), adapter="full"
    )
    model.fit_novelty(train)
    model.predict(STRANGE, with_novelty=True)
    with torch.no_grad():
        for weights in model.network.parameters():
            weights.mul_(1.05)
    with pytest.raises(TaskError, match=r"call fit_novelty\(\) after training"):
        model.predict(STRANGE, with_novelty=True)
    model.fit_novelty(train)
    assert len(model.predict(STRANGE, with_novelty=True)) == len(STRANGE)


def test_labels_are_needed_by_one_method_alone(fitted, synthetic_notes, tiny_encoder):
    train = synthetic_notes.select(range(30))
    model = TransferModel.from_pretrained(tiny_encoder, fitted.task)
    detector = model.fit_novelty(train, method="relative_mahalanobis")
    assert detector is model.novelty
    assert len(detector.estimator_.labels_.sizes_) == len(set(train["label"]))
    assert len(model.fit_novelty(train).estimator_.sizes_) == 1
    bare = [Note(str(i), text) for i, text in enumerate(train["text"])]
    with pytest.raises(TaskError, match="30 of 30 notes have no label"):
        model.fit_novelty(bare, method="relative_mahalanobis")
    with pytest.raises(NoteError, match="no notes to learn from"):
        model.fit_novelty([])


def test_what_holds_single_notes_is_not_pushed(fitted, synthetic_notes, tiny_encoder):
    model = TransferModel.from_pretrained(tiny_encoder, fitted.task)
    model.fit_novelty(synthetic_notes.select(range(30)), method="knn")
    with pytest.raises(ReleaseError, match="from which text can be recovered"):
        model.push_to_hub("somebody/model")


def test_novelty_is_written_with_the_predictions(fitted, tmp_path):
    predictions = fitted.predict(STRANGE, with_novelty=True)
    write_predictions(predictions, tmp_path / "p.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert [row["novelty"] for row in rows] == [p.novelty for p in predictions]
    write_predictions(fitted.predict(STRANGE), tmp_path / "p.jsonl")
    assert "novelty" not in (tmp_path / "p.jsonl").read_text()
