"""Annotations that models which did not see them hold improbable, most improbable first."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from clinical_tl.data.corpora import load_corpus
from clinical_tl.data.notes import as_notes
from clinical_tl.errors import ConfigError, TaskError
from clinical_tl.evaluation import suspicion
from clinical_tl.evaluation.suspicion import Suspicion, suspect_labels
from clinical_tl.network.frozen_encoder import FrozenEncoder
from clinical_tl.schema import Note, Relation, Span
from clinical_tl.tasks.diagnosis_coding import DiagnosisCoding
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.tasks.relation_extraction import RelationExtraction
from tests.data.corpora import corpus

CODES = {"heart": ("I10",), "lung": ("J45",)}
SAID = {"heart": "hypertension palpitations atenolol", "lung": "asthma wheezing inhaler"}


@pytest.fixture(scope="module")
def encoder(tiny_encoder):
    return FrozenEncoder.from_pretrained(tiny_encoder, window=64, overlap=16)


@pytest.fixture
def notes():
    """Twenty notes of two kinds, each of its own patient."""
    return [
        Note(f"n{i}", f"Visit {i}: {SAID[kind]}.", f"p{i}", label=kind, codes=CODES[kind])
        for i in range(20)
        for kind in [("heart", "lung")[i % 2]]
    ]


def rows(found):
    return [(one.note_id, one.given, one.expected, round(one.score, 6)) for one in found.records]


def test_a_notes_label_is_scored_by_its_own_probability():
    """Self-confidence of Northcutt et al., worked by hand: one minus p(given)."""
    every = [[0.9, 0.1, 0], [0.6, 0.4, 0], [0.2, 0.3, 0.5], [0.5, 0.1, 0.4], [0.8, 0.1, 0.1]]
    gold = np.array([0, 1, 1, 2, 0])
    found = suspicion._judged_labels(list("abcde"), "xyz", gold, np.array(every), np.arange(5))
    # The only note with "z" can't be judged: the model that judges it has never seen one.
    assert rows(found) == [("c", "y", "z", 0.7), ("b", "y", "x", 0.6)]
    assert found.summary() == {"suspicious": 2, "judged": 4, "not_judged": 1}


def test_a_code_is_scored_against_what_it_has_on_average():
    """By hand: where given "I10" has 0.9, 0.3 and 0.6 (mean 0.6), absent 0.9, 0.2 (mean 0.55)."""
    gold = np.array([[1, 1], [1, 0], [1, 0], [0, 1], [0, 1]])
    every = np.array([[0.9, 0.1], [0.3, 0.2], [0.6, 0.1], [0.1, 0.1], [0.8, 0.1]])
    found = suspicion._judged_codes(list("abcde"), ["I10", "J45"], gold, every, np.arange(5))
    # "J45" is never found likely: not one of its notes comes before those of "I10".
    assert rows(found)[:2] == [("e", None, "I10", 0.35), ("b", "I10", None, 0.3)]
    assert [(row[0], row[3]) for row in rows(found)[2:]] == [("a", 0), ("d", 0), ("e", 0)]
    alone = suspicion._judged_codes(list("abcde"), ["I10", "J45"], gold, every, np.zeros(5, int))
    assert alone.summary() == {"suspicious": 0, "judged": 0, "not_judged": 6}


def test_wrong_labels_and_codes_come_first(encoder, notes):
    notes[4] = replace(notes[4], label="lung", codes=("J45",))
    found = suspect_labels(NoteClassification.from_notes(notes), notes, encoder, progress=False)
    assert rows(found)[0][:3] == ("n4", "lung", "heart")
    assert found.records[0].score > 0.5
    found = suspect_labels(DiagnosisCoding.from_notes(notes), notes, encoder, progress=False)
    assert {(r.note_id, r.given, r.expected) for r in found.records[:2]} == {
        ("n4", "J45", None),
        ("n4", None, "I10"),
    }


def test_a_copys_label_does_not_speak_for_a_wrong_one(encoder, notes):
    wrong = [replace(notes[4], note_id=f"copy{i}", patient_id=f"q{i}", label="lung") for i in "ab"]
    every = [*notes, *wrong]
    found = suspect_labels(NoteClassification.from_notes(every), every, encoder, progress=False)
    assert {row[0] for row in rows(found)[:2]} == {"copya", "copyb"}


def test_the_same_seed_gives_the_same_list(encoder, notes):
    notes[4] = replace(notes[4], label="lung")
    task = NoteClassification.from_notes(notes)
    first, again = (suspect_labels(task, notes, encoder, progress=False) for _ in range(2))
    assert first.records == again.records


def test_mentions_have_offsets(encoder):
    drugs, problems = ("aspirin", "insulin", "statin"), ("fever", "cough", "anaemia")
    notes = []
    for i in range(24):
        drug, problem = drugs[i % 3], problems[i // 3 % 3]
        text = f"{i} days of {drug} for {problem} again."
        at = text.index(drug)
        notes.append(Note(f"n{i}", text, f"p{i}", spans=(Span(at, at + len(drug), "Drug"),)))
    (forgotten,) = notes[5].spans
    of = notes[7].text.index("of ")
    notes[5] = replace(notes[5], spans=())
    notes[7] = replace(notes[7], spans=(*notes[7].spans, Span(of, of + 2, "Drug")))
    task = EntityRecognition.from_notes(notes)
    found = suspect_labels(task, notes, encoder, progress=False)
    said = [(r.note_id, r.start, r.end, r.given, r.expected) for r in found.records]
    assert set(said) == {
        ("n5", forgotten.start, forgotten.end, None, "Drug"),
        ("n7", of, of + 2, "Drug", None),
    }
    assert all(r.score > 0.5 for r in found.records)
    assert found.judged == 24


def test_a_mention_on_white_space_is_as_suspicious_as_can_be(encoder, synthetic_notes):
    notes = list(as_notes(synthetic_notes.select(range(12))))
    text = notes[0].text + "   "
    blank = Span(len(text) - 2, len(text), next(iter(notes[0].spans)).label)
    notes[0] = replace(notes[0], text=text, spans=(*notes[0].spans, blank))
    task = EntityRecognition.from_notes(notes)
    (own,) = (
        r
        for r in suspect_labels(task, notes, encoder, progress=False).records
        if (r.note_id, r.start, r.end) == (notes[0].note_id, blank.start, blank.end)
    )
    assert own.score == 1.0


def test_what_lies_within_another_of_its_type_is_not_judged(encoder, synthetic_notes):
    notes = [n for n in as_notes(synthetic_notes) if n.spans]
    longest = [max(n.spans, key=lambda s: s.end - s.start) for n in notes]
    inner = [
        Span(s.start, s.start + n.text[s.start : s.end].index(" "), s.label)
        for n, s in zip(notes, longest, strict=True)
        if " " in n.text[s.start : s.end]
    ]
    both = [
        replace(n, spans=(*n.spans, *(own for own in inner if own.start == s.start)))
        for n, s in zip(notes, longest, strict=True)
    ]
    alone = suspect_labels(EntityRecognition.from_notes(notes), notes, encoder, progress=False)
    task = EntityRecognition.from_notes(both)
    found = suspect_labels(task, both, encoder, progress=False)
    gained = sum(len(n.spans) for n in both) - sum(len(n.spans) for n in notes)
    assert gained > 10
    assert (found.judged, found.not_judged) == (alone.judged, alone.not_judged + gained)
    assert [s.start for s in found.records] == [s.start for s in alone.records]


def test_notes_that_the_tokenizer_keeps_nothing_of_have_no_suspicions(encoder, synthetic_notes):
    notes = list(synthetic_notes)[:12]
    task = EntityRecognition.from_notes(notes)
    blank = [Note(f"b{i}", "\ufffd\ufffd", spans=()) for i in range(2)]
    every = [notes[0], blank[0], *notes[1:], blank[1]]
    found = suspect_labels(task, every, encoder, progress=False)
    assert {record.note_id for record in found.records} <= {note.note_id for note in notes}
    assert found.judged == suspect_labels(task, notes, encoder, progress=False).judged


def test_the_list_is_written_as_a_table(encoder, notes, tmp_path):
    notes[4] = replace(notes[4], label="lung")
    found = suspect_labels(NoteClassification.from_notes(notes), notes, encoder, progress=False)
    file = found.write(tmp_path / "list.csv")
    with file.open(encoding="utf-8-sig", newline="") as stream:
        first = next(csv.DictReader(stream))
    assert (first["note_id"], first["given"], first["expected"]) == ("n4", "lung", "heart")
    assert not any(SAID["heart"] in text for text in (file.read_text(), repr(found)))
    assert found.to_pandas()["note_id"].iloc[0] == "n4"
    assert "start" not in found.table()[0]
    with pytest.raises(ConfigError, match="allowed endings"):
        found.write(tmp_path / "list.docx")


def test_a_task_without_a_linear_form_is_refused(encoder):
    spans = (Span(0, 1, "Drug", id="T1"), Span(2, 3, "Sign", id="T2"))
    notes = [
        Note(label, "a b", spans=spans, relations=(Relation("T1", "T2", label),))
        for label in ("causes", "treats")
    ]
    with pytest.raises(TaskError, match="no linear form"):
        suspect_labels(RelationExtraction.from_notes(notes), notes, encoder)


def test_what_is_shown_of_one_is_its_ids():
    assert "Admitted with" not in repr(Suspicion("Admitted with chest pain today", "x", "y", 0.5))


@pytest.mark.real
def test_most_of_a_tenth_of_wrong_labels_stand_in_the_first_tenth(offline_encoder):
    """Labels of MTS-Dialog made wrong at random: 0.68 to 0.73 over three seeds."""
    corpus("mts_dialog")
    notes = load_corpus("mts_dialog")["train"].records
    random = np.random.default_rng(0)
    chosen = random.choice(len(notes), len(notes) // 10, replace=False)
    names = sorted({str(note.label) for note in notes})
    for i in chosen.tolist():
        wrong = [name for name in names if name != notes[i].label]
        notes[i] = replace(notes[i], label=str(random.choice(wrong)))
    ids = {notes[i].note_id for i in chosen.tolist()}
    found = suspect_labels(
        NoteClassification.from_notes(notes), notes, offline_encoder, progress=False
    )
    first = found.records[: len(ids)]
    assert sum(one.note_id in ids for one in first) / len(ids) > 0.6
