"""What is seen of scores, reports and predictions: figures, names and offsets, never text."""

import json

import numpy as np
import pandas as pd
import pytest

from clinical_tl.data.predictions import predictions_table
from clinical_tl.display.table import Tabular
from clinical_tl.evaluation.evaluating import report_on
from clinical_tl.evaluation.highlighting import highlight
from clinical_tl.evaluation.prediction_sets import SetScores
from clinical_tl.evaluation.suspicion import Suspicion, Suspicions
from clinical_tl.metrics.calibration import calibration_scores
from clinical_tl.metrics.classification import classification_scores
from clinical_tl.metrics.coding import coding_scores
from clinical_tl.metrics.entities import entity_scores, strict_seqeval
from clinical_tl.metrics.relations import RelationExtractionScores, relation_scores
from clinical_tl.metrics.scores import Scores
from clinical_tl.rules.disagreement import disagreements
from clinical_tl.schema import SHOWN_SAID, Note, Prediction, Relation, ScoredRelation, Span
from clinical_tl.tasks.entity_recognition import EntityRecognitionScores
from clinical_tl.tasks.masked_language import MaskedLanguageScores
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.transfer.matching import LabelMatching, LabelPair
from clinical_tl.transfer.self_training import SelfTrainingResult, SelfTrainingRound

SECRET = "Zebrafinch"
# As a wrongly mapped column has it: whole notes for ids, labels and codes.
TEXT = f"Admitted with {SECRET} syndrome <b>on Monday</b>"
SPANS = (Span(0, 8, TEXT, id=TEXT, score=0.75), Span(14, 24, "Drug<i>", score=0.5))
NOTES = [
    Note(f"{TEXT} {i}", TEXT, patient_id=f"{TEXT} {i}", label=label, spans=SPANS)
    for i, label in enumerate([TEXT, "ward"] * 6)
]
PREDICTIONS = [
    Prediction(note.note_id, label="ward", scores={"ward": 0.75, TEXT: 0.25}) for note in NOTES
]
TASK = NoteClassification.from_notes(NOTES, allow_implausible=True)
REPORT = report_on(TASK, NOTES, PREDICTIONS, resamples=20)

ENTITIES = entity_scores([SPANS, ()], [SPANS[:1], ()])
SEQEVAL = strict_seqeval([["B-Drug", "O"]], [["B-Drug", "O"]])
RELATIONS = relation_scores([[Relation("T1", "T2", TEXT)]], [[Relation("T1", "T2", TEXT)]])
LIKELY = np.array([[0.75, 0.25], [0.25, 0.75]])
SCORES = [
    classification_scores([TEXT, "ward"], [TEXT, TEXT], [TEXT, "ward"], LIKELY),
    coding_scores([{TEXT}, {"I10"}], LIKELY, LIKELY > 0.5, [TEXT, "I10"], {TEXT: 3}),
    ENTITIES,
    SEQEVAL,
    EntityRecognitionScores(ENTITIES, SEQEVAL),
    RELATIONS,
    RelationExtractionScores(RELATIONS, None, 3),
    calibration_scores(np.array([0, 0]), LIKELY),
    MaskedLanguageScores(1.5, 0.5, 100),
    SetScores(0.9, 1.5, 0.0, 0.5),
]
SEEN = [
    *SCORES,
    REPORT,
    PREDICTIONS[0],
    Prediction(TEXT, codes=(TEXT, "I10"), scores={TEXT: 0.75, "I10": 0.5}),
    Prediction(TEXT, spans=SPANS, evidence={TEXT: SPANS}),
    Prediction(TEXT, relations=(ScoredRelation(TEXT, "T2", TEXT, 0.75),)),
    LabelMatching((LabelPair(TEXT, TEXT, 0.1, accepted=True),), (TEXT,), 1.0),
    SelfTrainingResult((SelfTrainingRound(0, 1, 1, 0.5, {TEXT: 1.0}),), 0, "f1", (NOTES[0],), 0, 0),
    disagreements([Prediction(TEXT, spans=SPANS)], [Prediction(TEXT, spans=SPANS[:1])]),
    Suspicions((Suspicion(TEXT, TEXT, "ward", 0.75), Suspicion(TEXT, None, TEXT, 0.5, 0, 4)), 2, 0),
]


@pytest.mark.parametrize("seen", SEEN, ids=lambda seen: type(seen).__name__)
def test_no_text_is_seen_in_a_terminal_or_a_notebook(seen):
    assert isinstance(seen, Tabular)
    table = seen.table()
    for shown in (repr(seen), str(seen), f"{[seen]}", repr(table)):
        assert shown
        assert SECRET not in shown
    for html in (seen._repr_html_(), table._repr_html_()):
        assert "<table>" in html
        assert SECRET not in html
        assert "<b>" not in html
        assert "<i>" not in html


@pytest.mark.parametrize("seen", SEEN, ids=lambda seen: type(seen).__name__)
def test_the_data_frame_has_every_row_as_it_was_given(seen):
    pd.testing.assert_frame_equal(seen.to_pandas(), pd.DataFrame(list(seen.table())))


def test_every_kind_of_scores_is_seen():
    known = {type(scores) for scores in SCORES}
    assert {kind for kind in Scores.__subclasses__() if kind.__module__.startswith("clin")} == known


@pytest.mark.parametrize("scores", SCORES, ids=lambda scores: type(scores).__name__)
def test_scores_show_their_summary_and_become_json(scores):
    lines = repr(scores).splitlines()
    assert lines[0] == type(scores).__name__
    assert [line.split()[0] for line in lines[3:]] == list(scores.summary())
    record = scores.to_dict()
    assert json.loads(json.dumps(record)) == record
    assert set(record) == set(scores.__dataclass_fields__)


def test_the_table_of_scores_has_one_row_a_label():
    frame = EntityRecognitionScores(ENTITIES, SEQEVAL).to_pandas()
    assert list(frame["label"]) == [TEXT, "Drug<i>"]
    assert list(frame["recall"]) == [1.0, 0.0]
    assert SCORES[0].to_dict()["per_label"][0]["precision"] == 0.5
    assert [row["count"] for row in SCORES[7].table()] == [2]


def test_a_report_shows_intervals_groups_and_what_was_not_checked():
    notes = [
        Note(f"n{i}", "Fever", label="ward" if i % 2 else "icu", metadata={"sex": "FM"[i < 10]})
        for i in range(20)
    ]
    predictions = [Prediction(note.note_id, label="ward") for note in notes]
    task = NoteClassification.from_notes(notes)
    report = report_on(task, notes, predictions, by=["sex"], resamples=20, name="dev")
    lines = repr(report).splitlines()
    assert lines[0] == "Note classification: dev notes"
    assert lines[1] == "20 notes of 20 patients; intervals of 95 %"
    assert "not checked" in lines[2]
    assert lines[3].split() == ["metric", "value", "low", "high"]
    assert lines[5].split()[:2] == ["accuracy", "0.500"]
    frame = report.to_pandas().set_index("metric")
    assert frame.loc["accuracy", "low"] == report.intervals["accuracy"].low
    assert list(report.subgroup_table().to_pandas()["group"])[:2] == ["F", "M"]
    assert repr(report.subgroup_table()) in repr(report)
    html = report._repr_html_()
    assert html.count("<table>") == 2
    assert "not checked" in html


def test_a_prediction_says_in_one_line_what_it_says():
    spans = tuple(Span(i, i + 1, "Drug", score=0.98) for i in range(SHOWN_SAID + 2))
    assert repr(Prediction("n1", spans=spans[:2])) == (
        "Prediction(note_id='n1', spans=[0–1 Drug 0.98, 1–2 Drug 0.98])"
    )
    assert repr(Prediction("n1", spans=spans)).endswith("4–5 Drug 0.98, … 2 more])")
    assert repr(Prediction("n1", spans=())) == "Prediction(note_id='n1', spans=[])"
    assert repr(Prediction("n1", label="ward", scores={"ward": 0.5}, novelty=1.25)) == (
        "Prediction(note_id='n1', label=[ward 0.50], novelty=1.25)"
    )
    causes = ScoredRelation("T1", "T2", "causes", 0.75)
    assert repr(Prediction("n1", relations=(causes,))) == (
        "Prediction(note_id='n1', relations=[T1 T2 causes 0.75])"
    )


def test_predictions_become_one_table_with_a_row_for_each_thing_said():
    table = predictions_table(
        [
            Prediction("a", spans=(Span(0, 4, "Drug", score=0.5), Span(9, 12, "Dose"))),
            Prediction("b", spans=()),
            Prediction("c", label="ward", scores={"ward": 0.75}, novelty=3.0),
            Prediction("d", codes=("I10", "E11.9"), scores={"I10": 0.25}),
        ]
    )
    assert table == [
        {"note_id": "a", "start": 0, "end": 4, "label": "Drug", "score": 0.5},
        {"note_id": "a", "start": 9, "end": 12, "label": "Dose", "score": None},
        {"note_id": "c", "label": "ward", "score": 0.75, "novelty": 3.0},
        {"note_id": "d", "code": "I10", "score": 0.25},
        {"note_id": "d", "code": "E11.9", "score": None},
    ]
    assert SECRET not in repr(predictions_table(PREDICTIONS))
    assert SECRET not in predictions_table(PREDICTIONS)._repr_html_()
    # Text is seen where it is asked for.
    assert SECRET in highlight(TEXT, SPANS)
