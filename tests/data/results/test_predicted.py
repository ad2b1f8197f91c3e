import pytest

import clinical_tl as ctl
from clinical_tl.data.results.predicted import predicted_notes
from clinical_tl.data.writing import write_notes
from clinical_tl.errors import NoteError
from clinical_tl.schema import Note, Prediction, Relation, ScoredRelation, Span

TEXT = "Metformin for diabetes."
DRUG, DISEASE = Span(0, 9, "Drug", id="T1", score=0.5), Span(14, 22, "Disease", id="T2")


def test_notes_carry_what_was_predicted_and_nothing_else():
    gold = Note("a", TEXT, "p", "ward", ("I10",), (DISEASE,), (), {"sex": "f"})
    (note,) = predicted_notes([gold], [Prediction("a", spans=(DRUG,))])
    assert note == Note("a", TEXT, "p", spans=(DRUG,), metadata={"sex": "f"})
    (note,) = ctl.data.predicted_notes([gold], [Prediction("a", label=None, scores={"ward": 0.2})])
    assert note == Note("a", TEXT, "p", metadata={"sex": "f"})


def test_scores_evidence_and_novelty_are_in_the_metadata():
    said = [
        Prediction("a", label="ward", scores={"ward": 0.75, "icu": 0.25}, novelty=0.0),
        Prediction(
            "b",
            codes=("I10", "J45"),
            scores={"I10": 0.75, "E11.9": 0.5},
            evidence={"I10": (Span(0, 4, "I10"), Span(5, 9, "I10"))},
        ),
        Prediction("c", codes=()),
    ]
    notes = predicted_notes([Note(name, TEXT) for name in "abc"], said)
    assert notes["metadata"] == [
        {"predicted": {"scores": {"ward": 0.75}, "novelty": 0.0}},
        {"predicted": {"scores": {"I10": 0.75}, "evidence": {"I10": [[0, 4], [5, 9]]}}},
        {},
    ]
    assert notes["codes"] == [None, ("I10", "J45"), ()]


def test_relations_keep_the_mentions_that_they_are_between():
    gold = Note("a", TEXT, spans=(DRUG, DISEASE), relations=(Relation("T2", "T1", "old"),))
    said = Prediction("a", relations=(ScoredRelation("T1", "T2", "treats", 0.875),))
    (note,) = predicted_notes([gold], [said])
    assert note.spans == gold.spans
    assert note.relations == (Relation("T1", "T2", "treats"),)
    assert note.metadata == {"predicted": {"relation_scores": [0.875]}}
    (note,) = predicted_notes([gold], [Prediction("a", spans=(DRUG,))])
    assert note.relations is None


def test_predictions_without_their_notes_are_refused():
    with pytest.raises(NoteError, match="a prediction is of note b"):
        predicted_notes([Note("a", TEXT)], [Prediction("b")])


def test_they_are_written_and_read_like_any_notes(tmp_path):
    notes = predicted_notes([Note("a", TEXT)], [Prediction("a", spans=(DRUG, DISEASE))])
    write_notes(notes, tmp_path / "n.jsonl")
    assert list(ctl.read_notes(tmp_path / "n.jsonl")) == list(notes)
