"""Sets of labels for a task's notes: one note a patient, the model's labels, and what they hold."""

from dataclasses import replace

import numpy as np
import pytest

from clinical_tl.errors import TaskError
from clinical_tl.evaluation.prediction_sets import conformal_sets
from clinical_tl.schema import LabelScores, LabelSet, Note, Prediction
from clinical_tl.tasks.diagnosis_coding import DiagnosisCoding
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.tasks.note_classification import NoteClassification

TASK = NoteClassification(LabelSet(("a", "b", "c"), (5, 5, 5)))
CODING = DiagnosisCoding(LabelSet(("E11.9", "I10", "J45.9"), (5, 5, 5)), n_train=10)


def scored(task, note_id, row):
    return Prediction(note_id, scores=LabelScores(task.labels.names, np.array(row, np.float32)))


def classified(n, gold="a", patients=None):
    """Notes of which the i-th has its label with the probability 0.5 + i / 100."""
    notes, predictions = [], []
    for i in range(n):
        patient = f"p{i if patients is None else patients[i]}"
        notes.append(Note(str(i), "text", patient_id=patient, label=gold))
        sure = 0.5 + i / 100
        predictions.append(scored(TASK, str(i), [sure, 0.8 - sure, 0.2]))
    return notes, predictions


def test_sets_are_all_labels_as_likely_as_the_threshold_the_likeliest_first():
    sets = conformal_sets(TASK, *classified(19), coverage=0.9)
    # Rank ⌈20 · 0.9⌉ = 18 of 19 from above.
    assert sets.threshold == pytest.approx(0.51)
    assert (sets.patients, sets.coverage) == (19, 0.9)
    found = [
        scored(TASK, "x", [0.1, 0.3, 0.6]),
        scored(TASK, "y", [0.52, 0.51, 0.2]),
        scored(TASK, "z", [0.3, 0.3, 0.4]),
    ]
    assert sets.apply(found) == [("c",), ("a", "b"), ()]
    notes = [Note(name, "text", label=label) for name, label in zip("xyz", "cbb", strict=True)]
    assert sets.evaluate(notes, found).summary() == {
        "coverage": pytest.approx(2 / 3),
        "set_size": 1.0,
        "empty_sets": pytest.approx(1 / 3),
        "single_labels": pytest.approx(1 / 3),
    }
    assert "0.51 or more; coverage 0.9, by 19 patients" in repr(sets)
    with pytest.raises(TaskError, match="there are no notes"):
        sets.evaluate([], [])


def test_notes_of_one_patient_count_once():
    notes, predictions = classified(18, patients=[i // 2 for i in range(18)])
    sets = conformal_sets(TASK, notes, predictions, coverage=0.9)
    assert sets.patients == 9
    # The least sure patient's, by one note or the other.
    drawn = {
        round(conformal_sets(TASK, notes, predictions, coverage=0.9, seed=seed).threshold, 6)
        for seed in range(9)
    }
    assert drawn == {0.5, 0.51}
    with pytest.raises(TaskError, match="8 calibration notes of different patients are too few"):
        conformal_sets(TASK, notes[:16], predictions[:16], coverage=0.9)


def test_codes_that_the_model_does_not_know_count_as_missed():
    notes = [Note(str(i), "text", codes=("E11.9",)) for i in range(9)]
    said = [scored(CODING, str(i), [0.9 - i / 100, 0.4, 0.1]) for i in range(9)]
    sets = conformal_sets(CODING, notes, said, coverage=0.8)
    # (n + 1) · 0.2 − 1 = 1 note may be missed of nine.
    assert sets.threshold == pytest.approx(0.83)
    assert sets.apply(said)[-2:] == [("E11.9",), ()]
    known = [replace(notes[0], codes=("E11.9", "Z99.9")), *notes[1:]]
    # Half a note is missed anyway, so that no more than another half may be.
    assert conformal_sets(CODING, known, said, coverage=0.8).threshold == pytest.approx(0.82)
    assert sets.evaluate(known, said).coverage == pytest.approx(7.5 / 9)


def test_what_has_no_sets_is_refused():
    marking = EntityRecognition(LabelSet(("Sign",), (3,)))
    with pytest.raises(TaskError, match="has no sets of labels; allowed: tasks that decide a note"):
        conformal_sets(marking, [Note("n", "x", spans=())], [Prediction("n")])
    notes, predictions = classified(19)
    with pytest.raises(TaskError, match="lack the score of some label"):
        conformal_sets(TASK, notes, [replace(p, scores={}) for p in predictions])
    with pytest.raises(TaskError, match="in the same order"):
        conformal_sets(TASK, notes, predictions[::-1])
