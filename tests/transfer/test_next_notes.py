"""Which notes to annotate next: unsure, unlike what is known, unlike one another."""

import json
from dataclasses import replace

import numpy as np
import pytest

from clinical_tl.data.reading import read_notes
from clinical_tl.data.synthetic import generate_notes
from clinical_tl.data.writing import write_notes
from clinical_tl.errors import ConfigError, NoteError, TaskError
from clinical_tl.models.feature_model import FeatureModel
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.network.frozen_encoder import FrozenEncoder
from clinical_tl.schema import Note, Prediction, Span
from clinical_tl.tasks.diagnosis_coding import DiagnosisCoding
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.tasks.relation_extraction import RelationExtraction
from clinical_tl.transfer import next_notes
from clinical_tl.transfer.next_notes import choose_next
from recipes import what_next


@pytest.fixture(scope="module")
def encoder(tiny_encoder):
    return FrozenEncoder.from_pretrained(tiny_encoder, window=64, overlap=16)


@pytest.fixture(scope="module")
def labelled(synthetic_notes):
    return synthetic_notes.select(range(24)).records


@pytest.fixture(scope="module")
def pool():
    return [
        Note(f"u{i}", note.text, f"u{note.patient_id}")
        for i, note in enumerate(generate_notes(30, seed=11, words=(30, 80)).records)
    ]


@pytest.fixture(scope="module")
def model(encoder, labelled):
    task = NoteClassification.from_notes(labelled)
    return FeatureModel.fit(encoder, task, labelled, strengths=[1e-2], progress=False)


def ids(chosen):
    return [note.note_id for note in chosen.notes]


def test_notes_are_chosen_by_uncertainty_and_squared_distance():
    """By hand: 0.5 · 2² = 2, 1 · 1² = 1 and 0.25 · 4² = 4; of a unit one row at most."""
    uncertainty, novelty = np.array([0.5, 1.0, 0.25]), np.array([2.0, 1.0, 4.0])
    far = 9 * np.eye(3)
    assert next_notes._chosen(uncertainty, novelty, far, np.arange(3), 3) == [2, 0, 1]
    assert next_notes._chosen(uncertainty, novelty, far, np.array([0, 1, 0]), 2) == [2, 1]


def test_what_is_like_a_chosen_note_comes_last():
    vectors = np.array([[1.0, 0], [1.0, 0], [0, 1.0]])
    unsure = np.array([1.0, 0.9, 0.2])
    assert next_notes._chosen(unsure, np.ones(3), vectors, np.arange(3), 3) == [0, 2, 1]


def test_uncertainty_is_that_of_the_tasks_answer(labelled):
    classes = NoteClassification.from_notes(labelled)
    names = classes.labels.names
    scores = dict.fromkeys(names, 0.0) | {names[0]: 0.7, names[1]: 0.3}
    said = Prediction("a", label=names[0], scores=scores)
    assert next_notes._unsureness(classes, said) == pytest.approx(0.6)
    codes = DiagnosisCoding.from_notes(labelled)
    said = Prediction("a", codes=(), scores=dict.fromkeys(codes.labels.names, 0.5))
    assert next_notes._unsureness(codes, said) == pytest.approx(1.0)
    entities = EntityRecognition.from_notes(labelled)
    spans = (Span(0, 4, "Drug", score=0.99), Span(6, 9, "Drug", score=0.5))
    assert next_notes._unsureness(entities, Prediction("a", spans=spans)) == pytest.approx(1.0)
    assert next_notes._unsureness(entities, Prediction("a", spans=())) == 0


def test_neither_patients_nor_copies_come_twice(model, labelled, pool):
    copy = [
        Note("copy", labelled[0].text.upper(), "new"),
        Note("patient", "Another day, another visit.", labelled[1].patient_id),
        Note("blank", " \n", "blank"),
        Note("unread", "\ufffd\ufffd", "unread"),
    ]
    own = [Note(f"same{i}", f"Visit {i} of one patient.", "one") for i in range(3)]
    every = [*pool, *copy, *own]
    n_units = len({note.patient_id for note in pool}) + 1
    chosen = choose_next(model, every, n_units, labelled=labelled, progress=False)
    patients = [note.patient_id for note in chosen.notes]
    assert len(set(patients)) == len(patients)
    assert set(ids(chosen)).isdisjoint({"copy", "patient", "blank", "unread"})
    with pytest.raises(NoteError, match=f"{n_units} can be chosen"):
        choose_next(model, every, n_units + 1, labelled=labelled, progress=False)


def test_the_choice_is_the_same_again_whatever_annotations_the_pool_has(model, labelled, pool):
    annotated = [replace(note, label="cardiology") for note in pool]
    first, again = (
        ids(choose_next(model, notes, 6, labelled=labelled, progress=False))
        for notes in (pool, annotated)
    )
    assert first == again


def test_it_works_without_labelled_notes_and_refuses_what_it_cannot_do(model, pool, labelled):
    chosen = choose_next(model, pool, 3, progress=False)
    assert np.isnan(chosen.novelty).all()
    assert len(chosen.table()) == 3
    assert not any(note.text[:20] in repr(chosen) for note in pool)
    with pytest.raises(ConfigError, match="n=0"):
        choose_next(model, pool, 0)
    with pytest.raises(ConfigError, match="a whole number"):
        choose_next(model, pool, 2.5)
    with pytest.raises(NoteError, match="note ids must be unique: 1 occur"):
        choose_next(model, [*pool, pool[0]], 3, progress=False)
    relations = TransferModel.__new__(TransferModel)
    relations.task = RelationExtraction.from_notes(labelled)
    with pytest.raises(TaskError, match="no confidence a label"):
        choose_next(relations, pool, 1)


@pytest.mark.parametrize("kind", [NoteClassification, DiagnosisCoding, EntityRecognition])
def test_fine_tuned_models_of_every_task_choose(kind, tiny_encoder, labelled, pool):
    task = kind.from_notes(labelled)
    model = TransferModel.from_pretrained(tiny_encoder, task)
    task = model.task
    chosen = choose_next(model, pool, 4, labelled=labelled, progress=False)
    assert model.task is task
    assert [p.note_id for p in chosen.predictions] == ids(chosen)
    assert all(0 <= value <= 1 for value in chosen.uncertainty)
    assert all(0 <= value <= 2 for value in chosen.novelty)


def test_the_recipe_writes_notes_to_be_corrected(encoder, labelled, pool, tmp_path, capsys):
    task = EntityRecognition.from_notes(labelled)
    model = FeatureModel.fit(encoder, task, labelled, strengths=[10.0], progress=False)
    folder = str(model.save_pretrained(tmp_path / "model"))
    files = {"notes": str(tmp_path / "n.jsonl"), "labelled": str(tmp_path / "l.jsonl")}
    write_notes(pool, files["notes"])
    write_notes(labelled, files["labelled"])
    output = str(tmp_path / "next.json")
    chosen = what_next.main(folder, output=output, n=3, output_format="label_studio", **files)
    tasks = json.loads((tmp_path / "next.json").read_text())
    assert len(tasks) == len(chosen) == 3
    texts = {note.note_id: note.text for note in pool}
    assert {note.text for note in read_notes(output, format="label_studio")} == {
        texts[note_id] for note_id in chosen
    }
    printed = capsys.readouterr().out
    assert "3 notes to annotate" in printed
    assert not any(text[:30] in printed for text in texts.values())
