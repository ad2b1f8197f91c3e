"""Curves say what scikit-learn's say, and mentions without a score are never found."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from clinical_tl.evaluation.score_curves import MOST_POINTS, score_curves
from clinical_tl.schema import LabelScores, LabelSet, Note, Prediction, Span
from clinical_tl.tasks.diagnosis_coding import DiagnosisCoding
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.tasks.note_classification import NoteClassification

NAMES = ("A41.9", "E11.9", "I10")


def coded(seed):
    random = np.random.default_rng(seed)
    task = DiagnosisCoding.from_notes([Note(n, "x", codes=(n,)) for n in NAMES])
    gold = random.random((300, 3)) < 0.3
    # Rounded, so that many are equal.
    scores = np.round((0.3 * gold + 0.7 * random.random((300, 3))), 2).astype(np.float32)
    notes = [
        Note(str(i), "x", codes=tuple(np.array(NAMES)[row].tolist())) for i, row in enumerate(gold)
    ]
    said = [Prediction(str(i), scores=LabelScores(NAMES, row)) for i, row in enumerate(scores)]
    return task, notes, said, gold, scores


def test_average_precision_is_scikit_learns():
    task, notes, said, gold, scores = coded(1)
    every, *labels = score_curves(task, notes, said).precision_recall
    expected = average_precision_score(gold.ravel(), scores.ravel())
    assert every.average_precision == pytest.approx(expected)
    assert every.positives == gold.sum()
    for curve in labels:
        column = NAMES.index(curve.name)
        expected = average_precision_score(gold[:, column], scores[:, column])
        assert curve.average_precision == pytest.approx(expected)
    assert len(every.points) <= MOST_POINTS + 2
    assert every.points[-1][0] == 1.0


def test_scores_are_spread_by_what_is_true():
    task, notes, said, gold, _ = coded(2)
    inside, outside = score_curves(task, notes, said).spread
    assert (sum(inside.counts), sum(outside.counts)) == (gold.sum(), (~gold).sum())
    assert inside.counts[:6] == (0,) * 6


def test_a_label_that_the_model_lacks_is_never_reached():
    task = NoteClassification(LabelSet(("a", "b"), (1, 1)))
    notes = [Note("0", "x", label="a"), Note("1", "x", label="new")]
    row = np.array([0.9, 0.1], dtype=np.float32)
    said = [Prediction(n.note_id, label="a", scores=LabelScores(("a", "b"), row)) for n in notes]
    found = score_curves(task, notes, said)
    assert found.precision_recall[0].positives == 2
    assert found.precision_recall[0].points[-1][0] == 0.5
    assert found.of == "the likeliest label of each note"


def test_mentions_never_predicted_end_the_curve():
    task = EntityRecognition(LabelSet(("Drug", "Problem"), (1, 1)))
    spans = (Span(0, 2, "Drug"), Span(3, 5, "Problem"), Span(6, 8, "Problem"))
    said = (Span(0, 2, "Drug", score=0.9), Span(0, 3, "Drug", score=0.4))
    notes = [Note("n", "ab cd ef", spans=spans)]
    every, drugs = score_curves(task, notes, [Prediction("n", spans=said)]).precision_recall
    assert every.points[-1][0] == pytest.approx(1 / 3, abs=1e-6)
    assert every.average_precision == pytest.approx(1 / 3)
    assert (drugs.name, drugs.positives) == ("Drug", 1)
    bare = [Prediction("n", spans=(Span(0, 2, "Drug"),))]
    assert score_curves(task, notes, bare) is None
    assert score_curves(task, notes, [Prediction("n", spans=())]) is None
