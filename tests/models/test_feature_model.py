"""Frozen features with a linear model, for each task that has one."""

from dataclasses import replace

import pytest

from clinical_tl.data.notes import as_notes
from clinical_tl.errors import ArtifactError, ConfigError, NoteError, TaskError
from clinical_tl.estimators.feature_classifier import FeatureClassifier
from clinical_tl.models import feature_model as feature_extraction
from clinical_tl.models.feature_model import FeatureModel
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.network.frozen_encoder import FrozenEncoder
from clinical_tl.schema import Span
from clinical_tl.tasks.diagnosis_coding import DiagnosisCoding
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.tasks.note_classification import NoteClassification

TASKS = [NoteClassification, DiagnosisCoding, EntityRecognition]
INVISIBLE = ["  ", "", "\u200b", "\ufeff", "\u00a0\n", "\u00ad\u2060", "\u3164"]
# Little regularisation: enough features to remember the training notes.
SHARP = {"strengths": [10.0], "progress": False}


@pytest.fixture(scope="module")
def encoder(tiny_encoder):
    return FrozenEncoder.from_pretrained(tiny_encoder, window=64, overlap=16)


@pytest.fixture(scope="module")
def notes(synthetic_notes):
    return synthetic_notes.select(range(24))


@pytest.mark.parametrize("kind", TASKS, ids=lambda kind: kind.kind)
def test_training_notes_are_learned_saved_and_loaded(kind, encoder, notes, tmp_path):
    task = kind.from_notes(notes)
    model = FeatureModel.fit(encoder, task, notes, notes, **SHARP, allow_leakage=True)
    scores = model.evaluate(notes, progress=False, allow_leakage=True).summary()
    if kind is not EntityRecognition:
        # Thirty-two random features of a word can't tell entities.
        assert scores["accuracy" if kind is NoteClassification else "micro_f1"] > 0.95
    assert model.metrics["test"] == scores
    folder = model.save_pretrained(tmp_path / "model")
    again = FeatureModel.load(folder)
    assert again.predict(notes, progress=False) == pytest.approx(
        model.predict(notes, progress=False)
    )
    assert not [f for f in folder.iterdir() if f.suffix in {".pkl", ".pickle", ".joblib", ".bin"}]


def test_predictions_of_a_note_do_not_depend_on_the_others(encoder, notes):
    task = EntityRecognition.from_notes(notes)
    model = FeatureModel.fit(encoder, task, notes, **SHARP)
    together = model.predict(notes, progress=False)
    alone = [model.predict([note], progress=False)[0] for note in as_notes(notes)]
    assert [[s.key for s in p.spans] for p in together] == [[s.key for s in p.spans] for p in alone]


@pytest.mark.parametrize("kind", TASKS, ids=lambda kind: kind.kind)
def test_a_blank_note_tells_nothing_beyond_the_labels_shares(kind, encoder, notes, caplog):
    task = kind.from_notes(notes)
    model = FeatureModel.fit(encoder, task, notes, **SHARP)
    *blanks, written = model.predict([*INVISIBLE, "fever and cough"], progress=False)
    blank = blanks[0]
    alone = [model.predict([text], progress=False)[0] for text in INVISIBLE]
    assert {p.label for p in (*blanks, *alone)} == {None}
    assert not any(p.codes for p in (*blanks, *alone))
    assert f"{len(INVISIBLE)} notes have nothing to read" in caplog.text
    if kind is EntityRecognition:
        assert [p.spans for p in (*blanks, *alone)] == [()] * 2 * len(INVISIBLE)
        return
    assert all(dict(p.scores) == dict(blank.scores) for p in (*blanks, *alone))
    total = len(notes)
    shares = {
        name: n / total for name, n in zip(task.labels.names, task.labels.support, strict=True)
    }
    assert dict(blank.scores) == pytest.approx(shares)
    assert dict(written.scores) != pytest.approx(shares)


def test_blank_training_notes_teach_nothing_and_are_counted(encoder, notes, caplog):
    records = as_notes(notes)
    blank = [replace(records[0], note_id=f"b{i}", text=t) for i, t in enumerate(INVISIBLE)]
    task = NoteClassification.from_notes(records)
    plain, more = (
        FeatureModel.fit(encoder, task, some, **SHARP) for some in (records, [*records, *blank])
    )
    texts = [note.text for note in records]
    assert more.predict(texts, progress=False) == plain.predict(texts, progress=False)
    assert (
        f"{len(INVISIBLE)} of {len(INVISIBLE) + 24} training notes have no visible" in caplog.text
    )
    with pytest.raises(NoteError, match="none of the 5 training notes"):
        FeatureModel.fit(encoder, task, blank[:5], **SHARP)


def test_the_tasks_weights_are_the_linear_models(encoder, notes, caplog):
    records = as_notes(notes)
    weights = {
        name: 1.0 + 9 * (i == 0) for i, name in enumerate(sorted({n.label for n in records}))
    }
    rare = next(iter(weights))
    settings = {"strengths": [1e-2], "progress": False}
    plain, weighted = (
        FeatureModel.fit(
            encoder,
            NoteClassification.from_notes(records, class_weights=given),
            records,
            **settings,
        ).predict(records, progress=False)
        for given in (None, weights)
    )
    assert all(w.scores[rare] > p.scores[rare] for p, w in zip(plain, weighted, strict=True))
    plain, weighted, other = (
        FeatureModel.fit(
            encoder, DiagnosisCoding.from_notes(records, loss=loss), records, **settings
        ).predict(records, progress=False)
        for loss in ("bce", "bce_pos_weight", "asymmetric")
    )
    code = DiagnosisCoding.from_notes(records).labels.names[0]
    assert all(w.scores[code] > p.scores[code] for p, w in zip(plain, weighted, strict=True))
    assert other == plain
    assert "loss='asymmetric' is the network's" in caplog.text


@pytest.mark.parametrize("kind", TASKS, ids=lambda kind: kind.kind)
def test_folds_divide_neither_patients_nor_copies(kind, encoder, notes, monkeypatch):
    records = as_notes(notes)[:12]
    again = [replace(note, note_id=f"{note.note_id}-again", patient_id=None) for note in records]
    seen = []
    folds = FeatureClassifier._folds

    def spied(self, rows):
        seen.append(rows.groups)
        return folds(self, rows)

    monkeypatch.setattr(FeatureClassifier, "_folds", spied)
    FeatureModel.fit(encoder, kind.from_notes(records), [*records, *again], progress=False)
    assert set(seen[0]) == set(range(len({note.patient_id for note in records})))


@pytest.mark.parametrize("kind", TASKS, ids=lambda kind: kind.kind)
def test_notes_without_annotation_are_named(kind, encoder, notes):
    task = kind.from_notes(notes)
    bare = [replace(n, label=None, codes=None, spans=None) for n in as_notes(notes)[:1]]
    for sides in (([*as_notes(notes), *bare], None), (notes, bare)):
        with pytest.raises(TaskError, match=r"1 of .* notes have no .* annotate them"):
            FeatureModel.fit(encoder, task, *sides, **SHARP)


def test_settings_are_checked_before_anything_is_read(encoder, notes, monkeypatch):
    monkeypatch.setattr(feature_extraction, "embed", lambda *_, **__: pytest.fail("embedded"))
    task = NoteClassification.from_notes(notes)
    with pytest.raises(ConfigError, match=r"strengths=\(0.0\); allowed: numbers above 0"):
        FeatureModel.fit(encoder, task, notes, strengths=(0.0,))
    with pytest.raises(ConfigError, match="seed=-1; allowed: at least 0, a whole number"):
        FeatureModel.fit(encoder, task, notes, seed=-1)
    mentions = EntityRecognition.from_notes(notes)
    with pytest.raises(ConfigError, match="pooling='max' is of whole notes, mentions are decided"):
        FeatureModel.fit(encoder, mentions, notes, pooling="max")
    blank = [replace(n, text=" ") if n.label != notes[0].label else n for n in as_notes(notes)]
    with pytest.raises(TaskError, match="training notes with text all have the label"):
        FeatureModel.fit(encoder, task, blank)


def test_coding_thresholds_come_from_dev(encoder, notes):
    task = DiagnosisCoding.from_notes(notes)
    assert FeatureModel.fit(encoder, task, notes, **SHARP).task.thresholds is None
    assert (
        FeatureModel.fit(encoder, task, notes, notes, **SHARP, allow_leakage=True).task.thresholds
        is not None
    )


def test_a_patients_notes_share_a_fold(encoder, notes, monkeypatch):
    seen = []
    plain = feature_extraction.FeatureClassifier.fit

    def remember(self, X, y, groups=None):
        seen.append(list(groups))
        return plain(self, X, y, groups)

    monkeypatch.setattr(feature_extraction.FeatureClassifier, "fit", remember)
    records = as_notes(notes)
    mixed = [replace(n, patient_id="p1" if i < 5 else None) for i, n in enumerate(records)]
    FeatureModel.fit(encoder, NoteClassification.from_notes(notes), mixed, **SHARP)
    assert len(set(seen[0])) == len(records) - 4


@pytest.mark.parametrize("kind", TASKS, ids=lambda kind: kind.kind)
def test_labels_that_the_task_does_not_know_are_refused(kind, encoder, notes):
    known = as_notes(notes)[:12]
    stranger = replace(
        known[0], label="stranger", codes=("Z99.9",), spans=(Span(0, 3, "Stranger"),), relations=()
    )
    with pytest.raises(TaskError, match="labels of the training notes are not the task's"):
        FeatureModel.fit(encoder, kind.from_notes(known), [*known, stranger], progress=False)


def test_what_silver_notes_leave_open_teaches_nothing(encoder, notes):
    known = as_notes(notes)[:12]
    task = EntityRecognition.from_notes(known)
    left_open = [
        replace(
            note,
            spans=(),
            relations=(),
            metadata={"silver": {"unsure": [[span.start, span.end] for span in note.spans]}},
        )
        for note in known
    ]
    settings = {"strengths": [1.0], "progress": False}
    gold = FeatureModel.fit(encoder, task, known[:6], **settings)
    more = FeatureModel.fit(encoder, task, [*known[:6], *left_open[6:]], **settings)
    # All that the silver notes add is units outside of mentions.
    assert more.classifier.classes_.tolist() == gold.classifier.classes_.tolist()


def test_empty_texts_have_no_spans(encoder, notes):
    model = FeatureModel.fit(encoder, EntityRecognition.from_notes(notes), notes, **SHARP)
    predictions = model.predict([" ", "", "\u200b"], progress=False)
    assert [p.spans for p in predictions] == [(), (), ()]
    assert model.predict([], progress=False) == []


def test_misuse_is_refused(encoder, notes, tiny_encoder, tmp_path):
    with pytest.raises(TaskError, match="no linear form"):
        FeatureModel.fit(encoder, object(), notes)
    task = NoteClassification.from_notes(notes)
    tuned = TransferModel.from_pretrained(tiny_encoder, task)
    with pytest.raises(ArtifactError, match=r"TransferModel\.load"):
        FeatureModel.load(tuned.save_pretrained(tmp_path / "tuned"))
    folder = FeatureModel.fit(encoder, task, notes, **SHARP).save_pretrained(tmp_path / "features")
    with pytest.raises(ArtifactError, match=r"FeatureModel\.load"):
        TransferModel.load(folder)


@pytest.mark.usefixtures("offline_encoder")
def test_real_features_beat_random_ones(notes, encoder, synthetic_notes):
    train, held_out = notes, synthetic_notes.select(range(24, 40))
    task = EntityRecognition.from_notes(train)
    strengths = {"strengths": [0.01], "progress": False}
    f1 = {}
    for name, reader in (("random", encoder), ("offline", "offline")):
        model = FeatureModel.fit(reader, task, train, **strengths)
        f1[name] = model.evaluate(held_out, progress=False, allow_leakage=True).summary()["f1"]
    assert f1["offline"] > f1["random"] + 0.1
