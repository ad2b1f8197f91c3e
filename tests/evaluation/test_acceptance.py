"""Accept above a confidence, send the rest to a human: counts by hand, thresholds from dev."""

import json
from dataclasses import replace

import numpy as np
import pytest

from clinical_tl.evaluation.acceptance import FIXED, WANTED, acceptance_thresholds
from clinical_tl.evaluation.evaluating import evaluation_report, report_on
from clinical_tl.evaluation.page import report_page
from clinical_tl.schema import (
    LabelScores,
    LabelSet,
    Note,
    Prediction,
    Relation,
    ScoredRelation,
    Span,
)
from clinical_tl.tasks.diagnosis_coding import DiagnosisCoding
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.tasks.relation_extraction import RelationExtraction

TASK = NoteClassification(LabelSet(("a", "b"), (5, 5)))


def classified(rows, prefix=""):
    """Notes of gold `a`, and what is said of each with which probability."""
    notes, predictions = [], []
    for i, (label, sure) in enumerate(rows):
        name = f"{prefix}{i}"
        notes.append(Note(name, f"{prefix} note {i}", patient_id=name, label="a"))
        row = np.array([sure, 1 - sure] if label == "a" else [1 - sure, sure], dtype=np.float32)
        predictions.append(
            Prediction(name, label=label, scores=LabelScores(TASK.labels.names, row))
        )
    return notes, predictions


def row_at(report, threshold):
    (row,) = [r for r in report.acceptance.rows if (r.threshold, r.wanted) == (threshold, None)]
    return row


def test_what_is_accepted_is_counted_and_the_rest_goes_to_a_human():
    notes, predictions = classified([("a", 0.97), ("b", 0.92), ("a", 0.85), ("b", 0.6)])
    # With nothing to read it has no label, and no machine accepts it.
    notes.append(Note("blank", " ", patient_id="x", label="a"))
    predictions.append(TASK.unread("blank"))
    report = report_on(TASK, notes, predictions, resamples=50)
    assert (report.acceptance.of, report.acceptance.chosen_on) == ("notes", "these notes")
    everything, sure = row_at(report, 0.0), row_at(report, 0.9)
    assert (everything.accepted, everything.to_human, everything.right.value) == (4, 1, 0.5)
    assert (sure.accepted, sure.to_human, sure.right.value) == (2, 3, 0.5)
    assert sure.found == pytest.approx(1 / 5)
    assert everything.right.low < 0.5 < everything.right.high
    assert row_at(report, 0.95).right.value == 1.0
    # Four notes are too few for 90 % by anyone's account.
    never = [r for r in report.acceptance.rows if r.wanted is not None]
    assert [(r.threshold, r.accepted, r.to_human, r.right) for r in never] == [
        (None, 0, 5, None)
    ] * len(WANTED)
    saved = json.loads(json.dumps(report.to_dict(), allow_nan=False))["acceptance"]
    assert len(saved["rows"]) == len(FIXED) + len(WANTED)
    frame = report.acceptance.to_pandas()
    assert list(frame["to a human"])[:1] == [1]
    page = report_page(report)
    assert "Accept, or ask a human" in page
    assert "they look too good" in page


class Says:
    """Stands for a model that says what it was told."""

    def __init__(self, task, predictions):
        self.task, self.metrics = task, {}
        self.said = {p.note_id: p for p in predictions}

    def predict(self, records, *, progress=True):
        del progress
        return [self.said[note.note_id] for note in records]


def test_dev_notes_choose_and_test_notes_only_tell_what_comes_of_it():
    # On dev everything from 0.8 on is right; on test half of that is wrong.
    dev, on_dev = classified([("a", 0.8)] * 30 + [("b", 0.7)] * 30, "dev")
    test, on_test = classified([("a", 0.8)] * 10 + [("b", 0.9)] * 10, "test")
    report = evaluation_report(
        Says(TASK, on_dev + on_test), test, dev=dev, resamples=20, progress=False
    )
    chosen = {r.wanted: r for r in report.acceptance.rows if r.wanted is not None}
    assert report.acceptance.chosen_on == "dev notes"
    # (30 + 1) / (30 + 2) = 0.969
    assert chosen[0.9].threshold == chosen[0.95].threshold == pytest.approx(0.8)
    assert chosen[0.99].threshold is None
    assert (chosen[0.95].accepted, chosen[0.95].right.value) == (20, 0.5)
    assert "they look too good" not in report_page(report)


def test_dev_notes_on_which_nothing_is_said_choose_that_nothing_is_accepted():
    task = EntityRecognition(LabelSet(("A",), (5,)))
    dev, test = (
        [Note(f"{name}{i}", f"{name} {i}", patient_id=f"{name}{i}", spans=()) for i in range(9)]
        for name in ("dev", "test")
    )
    test = [replace(note, spans=(Span(0, 4, "A"),)) for note in test]
    said = [Prediction(note.note_id, spans=()) for note in dev]
    said += [Prediction(note.note_id, spans=(Span(0, 4, "A", score=0.9),)) for note in test]
    report = evaluation_report(Says(task, said), test, dev=dev, resamples=20, progress=False)
    assert report.acceptance.chosen_on == "dev notes"
    chosen = {r.wanted: r for r in report.acceptance.rows if r.wanted is not None}
    assert {(r.threshold, r.accepted) for r in chosen.values()} == {(None, 0)}
    assert set(chosen) == set(WANTED)


def test_codes_mentions_and_relations_are_accepted_one_by_one():
    coding = DiagnosisCoding(LabelSet(("E11.9", "I10"), (5, 5)), n_train=10)
    scores = LabelScores(coding.labels.names, np.array([0.95, 0.6], dtype=np.float32))
    said = Prediction("n", codes=("E11.9", "I10"), scores=scores)
    report = report_on(coding, [Note("n", "x", codes=("E11.9", "J45.9"))], [said], resamples=5)
    row = row_at(report, 0.8)
    assert (report.acceptance.of, row.accepted, row.to_human) == ("codes", 1, 1)
    # Of a code that the model does not know a human learns nothing from it.
    assert (row.right.value, row.found) == (1.0, 0.5)

    marking = EntityRecognition(LabelSet(("Sign",), (3,)))
    gold = (
        Span(0, 3, "Sign"),
        Span(4, 7, "Sign"),
        Span(4, 12, "Sign", fragments=((4, 5), (9, 12))),
    )
    spans = (
        Span(0, 3, "Sign", score=0.9),
        Span(0, 3, "Sign", score=0.85),
        Span(4, 9, "Sign", score=0.3),
    )
    report = report_on(
        marking,
        [Note("n", "abc def ghi jk", spans=gold)],
        [Prediction("n", spans=spans)],
        resamples=5,
    )
    row = row_at(report, 0.8)
    # Said twice, it is right once.
    assert (report.acceptance.of, row.accepted, row.to_human) == ("mentions", 2, 1)
    assert (row.right.value, row.found) == (0.5, pytest.approx(1 / 3))
    by_hand = Prediction("n", spans=(Span(0, 3, "Sign"),))
    notes = [Note("n", "abc def ghi jk", spans=gold)]
    assert acceptance_thresholds(marking, notes, [by_hand]) is None
    assert report_on(marking, notes, [by_hand], resamples=5).acceptance is None

    relating = RelationExtraction(LabelSet(("helps",), (3,)), (("Drug", "Sign"),), unrelated=True)
    ends = (Span(0, 3, "Drug", id="1"), Span(4, 7, "Sign", id="2"), Span(8, 11, "Sign", id="3"))
    note = Note("n", "abc def ghi jk", spans=ends, relations=(Relation("1", "2", "helps"),))
    found = (ScoredRelation("1", "2", "helps", 0.7), ScoredRelation("1", "3", "helps", 0.9))
    report = report_on(relating, [note], [Prediction("n", relations=found)], resamples=5)
    assert report.acceptance.of == "relations"
    assert [row_at(report, t).right.value for t in (0.5, 0.8)] == [0.5, 0.0]


def test_labels_without_probabilities_can_not_be_accepted_by_them():
    notes, predictions = classified([("a", 0.9), ("b", 0.8)])
    bare = [replace(p, scores={}) for p in predictions]
    report = report_on(TASK, notes, bare, resamples=5)
    assert report.acceptance is None
    assert "there are no probabilities to go by" in report_page(report)
