"""Baselines where training notes lack what a classifier needs, and with the task's weights."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from clinical_tl.errors import TaskError, TrainingError
from clinical_tl.evaluation.baselines import majority, memorised_mentions, tfidf
from clinical_tl.schema import Note, Span
from clinical_tl.tasks.diagnosis_coding import DiagnosisCoding
from clinical_tl.tasks.note_classification import NoteClassification

CODED = [
    Note(str(i), f"chest pain {'fever' if i % 2 else 'rash'} {i}", codes=codes)
    for i, codes in enumerate([("I10", "E11.9"), ("I10",)] * 5)
]
LABELLED = [
    Note(str(i), f"{word} and pain, day {i}", label=word)
    for i, word in enumerate(["fever", "rash", "cough"] * 4)
]


def test_a_code_that_all_training_notes_have_is_certain_and_one_that_none_has_impossible():
    task = DiagnosisCoding.from_notes([*CODED, Note("x", "unlike", codes=("J45",))])
    tuned, predictions = tfidf(task, CODED, CODED, dev=CODED)
    assert {p.scores["I10"] for p in predictions} == {1.0}
    assert {p.scores["J45"] for p in predictions} == {0.0}
    assert len({p.scores["E11.9"] for p in predictions}) > 1
    assert tuned.evaluate(CODED, predictions).summary()["map"] > 0.9


def test_a_label_without_a_training_note_is_impossible():
    task = NoteClassification.from_notes(LABELLED)
    some = [note for note in LABELLED if note.label != "rash"]
    _, predictions = tfidf(task, some, LABELLED)
    assert [p.label for p in predictions if p.scores["rash"]] == []
    assert {p.label for p in predictions} == {"fever", "cough"}
    one = [note for note in LABELLED if note.label == "rash"]
    _, predictions = tfidf(task, one, LABELLED, dev=LABELLED)
    assert {(p.label, p.scores["rash"]) for p in predictions} == {("rash", 1.0)}


def test_class_weights_are_the_classifiers():
    weights = {"cough": 8.0, "fever": 1.0, "rash": 1.0}
    task = NoteClassification.from_notes(LABELLED, class_weights=weights)
    _, predictions = tfidf(task, LABELLED, LABELLED)
    texts = [note.text for note in LABELLED]
    rows = TfidfVectorizer(sublinear_tf=True).fit_transform(texts)
    model = LogisticRegression(
        C=100.0, class_weight=dict(zip(task.labels, task.class_weights, strict=True)), max_iter=1000
    ).fit(rows, [note.label for note in LABELLED])
    found = [[p.scores[name] for name in model.classes_] for p in predictions]
    np.testing.assert_allclose(found, model.predict_proba(rows), atol=1e-6)


def test_frequencies_are_those_of_the_training_notes_given():
    task = NoteClassification.from_notes(LABELLED)
    predictions = majority(task, LABELLED[:4], LABELLED)
    assert dict(predictions[0].scores) == {"cough": 0.25, "fever": 0.5, "rash": 0.25}
    coded = majority(DiagnosisCoding.from_notes(CODED), CODED[:2], CODED)
    assert dict(coded[0].scores) == {"E11.9": 0.5, "I10": 1.0}


def test_notes_that_nothing_can_be_learned_from_are_refused():
    task = NoteClassification.from_notes(LABELLED)
    with pytest.raises(TaskError, match="none of the 2 training notes has a word"):
        tfidf(task, [Note("1", "\u200b", label="rash"), Note("2", "", label="fever")], LABELLED)
    with pytest.raises(TaskError, match="not the task's"):
        tfidf(task, [Note("1", "itch", label="itching")], LABELLED)
    for baseline in (majority, tfidf):
        with pytest.raises(TrainingError, match="no training notes"):
            baseline(task, [], LABELLED)


def test_mentions_within_chinese_sentences_are_memorised():
    train = [Note("1", "患者有高血压。", spans=(Span(3, 6, "Dx"),))]
    again = [Note("2", "否认高血压病史"), Note("3", "no血压")]
    found = memorised_mentions(train, again)
    assert [[(s.start, s.end) for s in p.spans] for p in found] == [[(2, 5)], []]
    words = [Note("1", "Pain and fever", spans=(Span(0, 4, "Dx"),))]
    (glued, whole) = memorised_mentions(words, [Note("2", "PainDenies"), Note("3", "no pain")])
    assert (len(glued.spans), len(whole.spans)) == (0, 1)
