"""Many labels a note of any set: names as they are, the head by their number, all its models."""

import logging

import numpy as np
import pytest

import clinical_tl as ctl
from clinical_tl.errors import ConfigError, NoteError, TaskError
from clinical_tl.network.heads import LabelAttentionHead, SequenceHead
from clinical_tl.schema import LabelScores, Note, Prediction
from clinical_tl.tasks.multi_label_classification import ATTENTION_FROM, MultiLabelClassification
from clinical_tl.training.config import TrainingConfig

NOTES = [
    Note("1", "Oedema of both legs. Smokes.", codes=("Edema", " smoker ")),
    Note("2", "Clear lungs.", codes=("No Finding",)),
    Note("3", "Left effusion.", codes=("Pleural Effusion", "Edema")),
    Note("4", "Nothing was looked at.", codes=()),
]
WORDS = {
    "Edema": "swollen legs and crackles",
    "smoker": "smokes a pack each day",
    "No Finding": "the lungs are clear",
}


def findings(n, seed=0):
    """Notes of which each says its labels in so many words."""
    draw = np.random.default_rng(seed)
    notes = []
    for i in range(n):
        own = [name for name in WORDS if draw.random() < 0.5]
        said = ". ".join([f"Visit {i} of {seed}", *(WORDS[name] for name in own), "Seen at noon."])
        notes.append(Note(f"{seed}-{i}", said, patient_id=f"p{seed}-{i}", codes=tuple(own)))
    return notes


def test_labels_are_what_they_are_but_for_outer_blanks():
    task = MultiLabelClassification.from_notes(NOTES)
    assert task.labels.names == ("Edema", "No Finding", "Pleural Effusion", "smoker")
    assert task.labels.support == (2, 1, 1, 1)
    assert task.own_labels(NOTES[0]) == ("Edema", "smoker")
    assert task.code_system is None
    assert task.label_title("Edema") is None


def test_labels_that_differ_in_capitals_alone_are_told(caplog):
    notes = [Note("1", "a", codes=("Edema",)), Note("2", "b", codes=("edema", "smoker"))]
    assert len(MultiLabelClassification.from_notes(notes).labels) == 3
    assert "2 labels differ in capitals alone" in caplog.text


@pytest.mark.parametrize("n", [ATTENTION_FROM - 1, ATTENTION_FROM])
def test_label_attention_is_for_many_labels(n):
    notes = [Note(str(i), f"text {i}", codes=(f"finding {i}",)) for i in range(n)]
    task = MultiLabelClassification.from_notes(notes)
    assert isinstance(task.head_spec, SequenceHead if n < ATTENTION_FROM else LabelAttentionHead)
    for head, spec in (("linear", SequenceHead), ("label_attention", LabelAttentionHead)):
        task = MultiLabelClassification.from_notes(notes, head=head)
        assert isinstance(task.head_spec, spec)
    assert task.label_descriptions() == list(task.labels)


@pytest.mark.parametrize(
    ("setting", "allowed"),
    [
        ({"head": "cnn"}, "linear, label_attention"),
        ({"pooling": "median"}, "auto, mean, max, cls, stock"),
        ({"window_pooling": "stock"}, "mean, max"),
    ],
)
def test_unknown_settings_are_refused(setting, allowed):
    with pytest.raises(ConfigError, match=f"choose one of {allowed}"):
        MultiLabelClassification.from_notes(NOTES, **setting)


def test_blank_labels_and_texts_are_refused():
    with pytest.raises(TaskError, match=r"1 notes have a blank label, e.g. \['b'\]"):
        MultiLabelClassification.from_notes(
            [Note("a", "x", codes=("Edema",)), Note("b", "y", codes=(" ",))]
        )
    with pytest.raises(TaskError, match="have no codes"):
        MultiLabelClassification.from_notes([Note("a", "x", codes=())])
    said = "The patient SECRET was seen in clinic today and feels a good deal better than before"
    with pytest.raises(TaskError, match="do not look like names") as caught:
        MultiLabelClassification.from_notes([Note("a", "x", codes=(said,))])
    assert "SECRET" not in str(caught.value)


def test_accents_stored_in_two_ways_are_one_label():
    notes = [Note("a", "x", codes=("\u00d6dem",)), Note("b", "y", codes=("O\u0308dem", "Angst"))]
    task = MultiLabelClassification.from_notes(notes)
    assert task.labels.names == ("Angst", "\u00d6dem")
    assert task.own_labels(notes[1]) == ("\u00d6dem", "Angst")


@pytest.mark.parametrize("codes", ["4019", (1, 2), (None,), (float("nan"),)])
def test_codes_that_are_no_list_of_strings_are_refused(codes):
    notes = [Note("first", "x", codes=("Edema",)), Note("second", "y", codes=codes)]
    for kind in (MultiLabelClassification, ctl.DiagnosisCoding):
        with pytest.raises(NoteError, match=r"note 'second': codes .*; allowed: a tuple of str"):
            kind.from_notes(notes)


def test_unknown_labels_count_as_what_they_are_and_those_of_nobody_are_refused(caplog):
    task = MultiLabelClassification.from_notes(NOTES)
    scores = LabelScores(task.labels.names, np.array([0.9, 0.1, 0.1, 0.1], dtype=np.float32))
    note = Note("x", "t", codes=("Edema", "Cachexia"))
    result = task.evaluate([note], [Prediction("x", codes=("Edema",), scores=scores)])
    assert (result.micro_recall, result.unseen_codes) == (0.5, 1)
    found = task.evaluate([note], [Prediction("x", codes=("Edema", "Cachexia"), scores=scores)])
    assert (found.micro_recall, found.micro_precision, found.unseen_codes) == (1, 1, 1)
    with pytest.raises(TaskError, match="are neither the task's nor the notes'"):
        task.evaluate([note], [Prediction("x", codes=("Gout",))])
    with caplog.at_level("WARNING"):
        wrong = task.evaluate([note], [Prediction("x", codes=("Edema", "Gout"))])
    assert (wrong.micro_recall, wrong.micro_precision) == (0.5, 0.5)
    assert "1 predictions of labels that neither the task nor the notes have" in caplog.text


def test_columns_of_zero_and_one_a_label_are_read(tmp_path):
    (tmp_path / "a.csv").write_text(
        "note_id,text,Edema,No Finding\nn1,abc,1,0\nn2,abd,0,1\nn3,abe,0,0\n"
    )
    notes = ctl.read_notes(tmp_path / "a.csv", columns={"codes": ["Edema", "No Finding"]})
    task = MultiLabelClassification.from_notes(notes)
    assert task.labels.names == ("Edema", "No Finding")
    assert [task.own_labels(note) for note in notes] == [("Edema",), ("No Finding",), ()]


def test_what_suits_the_encoder_is_read_under_a_linear_head(tiny_encoder):
    task = MultiLabelClassification.from_notes(NOTES)
    # It comes with a trained pooler.
    assert ctl.TransferModel.from_pretrained(tiny_encoder, task).task.pooling == "stock"
    mean = MultiLabelClassification.from_notes(NOTES, pooling="mean")
    model = ctl.TransferModel.from_pretrained(tiny_encoder, mean)
    assert model.task == mean
    assert model.network.head is not None
    many = MultiLabelClassification.from_notes(NOTES, head="label_attention")
    assert many.on_encoder(None) == many


def test_it_is_learnt_reported_saved_and_released(tiny_encoder, tmp_path, caplog):
    train, dev, test = findings(48), findings(24, 1), findings(24, 2)
    model = ctl.TransferModel.from_pretrained(
        tiny_encoder, MultiLabelClassification.from_notes(train), adapter="full"
    )
    ctl.fit(model, train, dev, TrainingConfig(epochs=8, learning_rate=3e-3, progress=False))
    report = ctl.evaluation_report(model, test, resamples=20, progress=False)
    assert report.scores["micro_f1"] > 0.8
    assert "title" not in report.labels[0]
    folder = model.save_pretrained(tmp_path / "model")
    loaded = ctl.load(folder)
    assert loaded.task == model.task
    assert loaded.predict(test) == model.predict(test)
    card = (folder / "README.md").read_text()
    assert "- multi-label-classification" in card or "- multi_label_classification" in card
    assert "ICD-10-CM" not in card
    gate = ctl.release.check_release(folder, train=train, held_out=test, data_use="public")
    assert "membership AUC" in next(c for c in gate.checks if c.name == "memorisation").reason
    with caplog.at_level(logging.WARNING):
        ctl.data.write_predictions(
            loaded.predict(test), tmp_path / "p.csv", titles=loaded.task.label_title
        )
    assert "title" in (tmp_path / "p.csv").read_text("utf-8-sig").splitlines()[0]


def test_ways_without_fine_tuning_know_it(tiny_encoder):
    train, dev, test = findings(48), findings(24, 1), findings(24, 2)
    task = MultiLabelClassification.from_notes(train)
    _, said = ctl.evaluation.tfidf(task, train, test, dev=dev)
    assert task.evaluate(test, said).micro_f1 > 0.9
    features = ctl.FeatureModel.fit(tiny_encoder, task, train, dev, lexical=True, progress=False)
    assert task.evaluate(test, features.predict(test, progress=False)).micro_f1 > 0.9
    choice = ctl.best_transfer(train, tiny_encoder, task, dev, budget_minutes=0.02, progress=False)
    assert {"TF-IDF", "frozen features"} <= {r.name for r in choice.rungs if r.left_out is None}
    assert ctl.evaluation.conformal_sets(task, dev, features.predict(dev), coverage=0.8)
    assert ctl.transfer.choose_next(features, test, 3).notes


def test_what_is_exported_says_the_same(tiny_encoder, tmp_path):
    pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")
    train, test = findings(24), findings(8, 2)
    task = MultiLabelClassification.from_notes(train, pooling="mean", window_pooling="mean")
    model = ctl.TransferModel.from_pretrained(tiny_encoder, task, window=16, overlap=4)
    ctl.fit(model, train, findings(24, 1), TrainingConfig(epochs=2, progress=False))
    ctl.integrations.export_onnx(model, tmp_path / "graph")
    own, exported = model.predict(test), ctl.load(tmp_path / "graph").predict(test)
    assert [p.codes for p in exported] == [p.codes for p in own]
    assert dict(exported[0].scores) == pytest.approx(dict(own[0].scores), abs=1e-4)
