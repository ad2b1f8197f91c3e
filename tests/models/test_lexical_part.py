"""Words beside a model: the same saved, merged, streamed, exported; weighed by dev notes."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax

import clinical_tl as ctl
from clinical_tl.errors import ArtifactError, ConfigError, TaskError
from clinical_tl.estimators.lexical_classifier import LexicalClassifier
from clinical_tl.integrations.onnx_export import compare_predictions, export_onnx
from clinical_tl.models.feature_model import FeatureModel
from clinical_tl.models.lexical_part import WEIGHTS, fit_lexical, with_words
from clinical_tl.models.onnx_model import OnnxModel
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.network.frozen_encoder import FrozenEncoder
from clinical_tl.schema import Note, Span
from clinical_tl.tasks.diagnosis_coding import DiagnosisCoding
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.training.config import TrainingConfig
from clinical_tl.training.fitting import fit

WORDS = ["fever", "cough", "rash"]
FILLER = ["today", "again", "at night", "for days", "since then", "with pain", "at home", "at rest"]


def written(n, first):
    """Notes in which one word decides."""
    return [
        Note(
            f"{first + i}",
            f"{FILLER[i % 8]} seen {FILLER[(i // 3) % 8]} for {WORDS[i % 3]} nr {first + i}",
            label=WORDS[i % 3],
            codes=("R50.9",) if i % 2 else ("R05", "R50.9"),
            spans=(Span(0, 5, "P"),),
        )
        for i in range(n)
    ]


TRAIN, DEV = written(24, 0), written(60, 100)
QUICK = TrainingConfig(epochs=1, batch_tokens=512, progress=False, head_init="random", lexical=True)
BLANK = Note("blank", "\u200b", label="fever", codes=("R05",))


def trained(encoder, task=NoteClassification, dev=None, **settings):
    model = TransferModel.from_pretrained(
        encoder, task.from_notes(TRAIN), window=16, overlap=4, seed=0
    )
    fit(model, TRAIN, dev, replace(QUICK, **settings))
    return model


@pytest.fixture(scope="module", params=[True, "hashed"])
def model(request, tiny_encoder):
    return trained(tiny_encoder, lexical=request.param)


def same(first, second, atol=1e-5):
    largest, changed = compare_predictions(first, second)
    assert changed == 0
    assert largest < atol
    return True


def test_words_are_added_to_the_logits_of_notes_of_any_length(model):
    long = replace(DEV[0], note_id="long", text=" ".join(note.text for note in DEV[:9]))
    notes = [*DEV[:6], long, BLANK]
    found = model.predict(notes, progress=False)
    words, model.lexical = model.lexical, None
    try:
        plain = model.predict(notes, progress=False)
    finally:
        model.lexical = words
    names = model.task.labels.names
    logits = words.logits([note.text for note in notes[:7]])
    for before, after, own in zip(plain, found, logits, strict=False):
        said = np.log([before.scores[name] for name in names]) + words.weight * own
        np.testing.assert_allclose([after.scores[n] for n in names], softmax(said), atol=1e-5)
    # Of a blank note words say nothing.
    assert found[-1] == plain[-1]
    assert found[-1].label is None


def test_saved_streamed_merged_and_collected_it_says_the_same(model, tmp_path):
    expected = model.predict([*DEV, BLANK], progress=False)
    assert same(list(model.predict_stream(iter([*DEV, BLANK]), progress=False)), expected)
    folder = model.save_pretrained(tmp_path / "model")
    loaded = TransferModel.load(folder)
    assert loaded.predict([*DEV, BLANK], progress=False) == expected
    assert same(model.merged().predict([*DEV, BLANK], progress=False), expected)
    together = ctl.models.load_many({"a": folder}).predict([*DEV, BLANK], progress=False)["a"]
    assert same(together, expected, atol=1e-4)
    with pytest.raises(ArtifactError, match="adds what words say"):
        model.merge(tmp_path / "plain")
    card = (folder / "README.md").read_text()
    words = model.metrics["training"]["lexical"]
    assert words == {
        "terms": len(model.lexical.idf_), "hashed": model.lexical.hashed, "min_notes": 3,
        "weight": 0.5,
    }  # fmt: skip
    told = "a guess can be looked up" if words["hashed"] else "in the notes of 3 patients or more"
    assert f"What {words['terms']} words of the notes say is added" in card
    assert told in card


def test_the_exported_graphs_say_the_same(model, tmp_path):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason="the extra [onnx] is not installed")
    report = export_onnx(model, tmp_path / "onnx", check=DEV[:4])
    assert report.changed_notes == 0
    exported = OnnxModel.load(tmp_path / "onnx").predict(DEV[:6], progress=False)
    assert same(exported, model.predict(DEV[:6], progress=False), atol=1e-4)


def test_a_training_without_words_forgets_those_of_the_one_before(tiny_encoder, tmp_path):
    """And chooses its epoch without them."""
    model = trained(tiny_encoder)
    other = TransferModel.load(model.save_pretrained(tmp_path / "model"))
    other.lexical = None
    for own in (model, other):
        fit(own, TRAIN, DEV, replace(QUICK, lexical=False))
    assert model.lexical is None
    assert model.metrics["training"]["lexical"] is None
    told, expected = (own.metrics["training"]["epochs"][0] for own in (model, other))
    assert told["dev"] == expected["dev"]
    assert told["dev_loss"] == pytest.approx(expected["dev_loss"], abs=1e-5)
    assert model.metrics["dev"] == other.metrics["dev"]


def test_label_attention_keeps_its_evidence(tiny_encoder):
    model = trained(tiny_encoder, DiagnosisCoding, dev=DEV)
    found = model.predict(DEV[:8], progress=False)
    assert model.lexical is not None
    assert any(prediction.evidence for prediction in found)
    assert all(set(p.evidence) <= set(p.codes) for p in found)


def test_dev_notes_that_words_decide_choose_to_count_them(tiny_encoder):
    model = trained(tiny_encoder, dev=[*DEV, BLANK])
    assert model.lexical.weight > 0
    # What was scored is what the model says.
    scores = model.task.evaluate([*DEV, BLANK], model.predict([*DEV, BLANK], progress=False))
    assert model.metrics["dev"]["macro_f1"] == pytest.approx(scores.summary()["macro_f1"])
    assert scores.summary()["accuracy"] > 0.9
    wrong = [replace(note, label=WORDS[(i + 1) % 3]) for i, note in enumerate(DEV)]
    assert trained(tiny_encoder, dev=wrong).lexical.weight == 0
    # Two notes are too few to overrule what held on other corpora.
    assert trained(tiny_encoder, dev=wrong[:1]).lexical.weight == WEIGHTS[0]


def test_a_label_that_no_note_with_words_had_is_no_likelier_than_the_others():
    task = NoteClassification.from_notes([*TRAIN, replace(TRAIN[0], note_id="x", label="hip")])
    words = fit_lexical(task, TRAIN, True)
    row = np.full((1, 4), 0.25)
    joined = with_words(task, words, DEV[:1], row)[0]
    assert joined[task.labels.names.index("hip")] == joined.min()
    assert joined.sum() == pytest.approx(1)


@pytest.mark.parametrize("lexical", [True, "hashed"])
def test_frozen_features_with_words_are_saved_and_loaded(tiny_encoder, lexical, tmp_path):
    encoder = FrozenEncoder.from_pretrained(tiny_encoder, window=32, overlap=8)
    settings = {"strengths": [1e-2], "progress": False}
    task = NoteClassification.from_notes(TRAIN)
    plain, model = (
        FeatureModel.fit(encoder, task, TRAIN, DEV, lexical=given, **settings)
        for given in (False, lexical)
    )
    assert model.metrics["dev"]["accuracy"] >= plain.metrics["dev"]["accuracy"]
    assert plain.metrics["training"]["lexical"] is None
    assert model.metrics["training"]["lexical"]["weight"] == model.lexical.weight
    again = FeatureModel.load(model.save_pretrained(tmp_path / "model"))
    assert again.predict(DEV, progress=False) == model.predict(DEV, progress=False)
    assert LexicalClassifier.is_saved(tmp_path / "model")


def test_copies_of_a_note_are_one_note():
    """A name in all of them is no word that several notes share."""
    copies = [Note(f"c{i}", "mrs kowalczyk has a cough", label="cough") for i in range(3)]
    notes = [*copies, *written(30, 0)]
    words = fit_lexical(NoteClassification.from_notes(notes), notes, True)
    assert "kowalczyk" not in words.terms_
    assert "cough" in words.terms_


@pytest.mark.parametrize("lexical", ["Hashed", "hash", "false", 1, None])
def test_what_is_no_setting_keeps_no_words(tiny_encoder, lexical):
    notes = written(30, 0)
    task = NoteClassification.from_notes(notes)
    with pytest.raises(ConfigError, match="'hashed'"):
        FeatureModel.fit(str(tiny_encoder), task, notes, lexical=lexical)
    with pytest.raises(ConfigError, match="'hashed'"):
        TrainingConfig(lexical=lexical)


def test_tasks_that_mark_words_have_nothing_to_add_them_to(tiny_encoder):
    with pytest.raises(TaskError, match="does not decide notes as a whole"):
        trained(tiny_encoder, EntityRecognition)
    with pytest.raises(TaskError, match="does not decide notes as a whole"):
        FeatureModel.fit(
            tiny_encoder, EntityRecognition.from_notes(TRAIN), TRAIN, lexical=True, progress=False
        )
