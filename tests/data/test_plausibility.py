from dataclasses import replace

import pytest

from clinical_tl.data.plausibility import check_plausible
from clinical_tl.data.reading import read_notes
from clinical_tl.errors import NoteError, TaskError
from clinical_tl.schema import Note, Relation, Span
from clinical_tl.tasks.diagnosis_coding import DiagnosisCoding
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.tasks.relation_extraction import RelationExtraction

ICD = [
    "Type 2 diabetes mellitus without complications",
    "Essential (primary) hypertension",
    "Acute ST elevation (STEMI) myocardial infarction of anterior wall",
    "Chronic obstructive pulmonary disease with (acute) exacerbation",
    "Type 2 diabetes mellitus with diabetic chronic kidney disease",
    "Displaced fracture of shaft of left clavicle, subsequent encounter for fracture with delayed "
    "healing",
]


def sentence(i):
    return f"Zebrafinch{i} was admitted with chest pain and fever for {i} days and went home."


def note(i, label):
    return Note(f"n{i}", sentence(i), f"p{i % 7}", label)


def refused(notes, *fields):
    with pytest.raises(TaskError, match="do not look like names") as caught:
        check_plausible(notes, *fields, allow_implausible=False)
    assert "Zebrafinch" not in str(caught.value)
    assert "allow_implausible=True" in str(caught.value)
    check_plausible(notes, *fields, allow_implausible=True)
    return str(caught.value)


@pytest.mark.parametrize(
    "labels",
    [
        ["GENHX", "ROS", "fam/sochx", "ASSESSMENT"] * 5,
        ICD * 4,
        ICD,
        [f"label {i}" for i in range(10)],
        ["高血压病3级（极高危）伴有左心室肥厚", "2型糖尿病性周围神经病变", "疾病和诊断"] * 3,
        ["History of present illness, past medical history and family history"] * 5 + ["other"] * 5,
    ],
    ids=["headers", "icd", "icd once", "ten different", "chinese", "long header"],
)
def test_labels_that_are_names_pass(labels):
    check_plausible([note(i, v) for i, v in enumerate(labels)], "label", allow_implausible=False)


def test_texts_in_place_of_labels_are_refused_with_counts():
    notes = [note(i, sentence(i)) for i in range(24)]
    assert "24 of 24 are the note's own text" in refused(notes, "label")
    other = [note(i, sentence(i + 100)) for i in range(10)]
    assert "10 of 10 different ones are sentences" in refused(other, "label")
    broken = [note(i, f"Zebrafinch\n{i % 2}") for i in range(10)]
    assert "2 of 2 different ones have line breaks or over 256" in refused(broken, "label")
    chinese = [note(i, f"患者因反复头痛伴恶心呕吐三天入院，既往高血压病史{i}年") for i in range(9)]
    assert "9 of 9 different ones are sentences" in refused(chinese, "label")
    ids = [note(i, f"n{i}") for i in range(24)]
    assert "24 of 24 occur only once" in refused(ids, "label")


def test_mentions_in_place_of_their_labels_are_refused():
    notes = [replace(note(i, None), spans=(Span(0, 10, "zebrafinch"),)) for i in range(4)]
    assert "4 of 4 are the mention's own text" in refused(notes, "spans")
    each = [replace(note(i, None), spans=(Span(0, 3, f"x{i}"),)) for i in range(20)]
    assert "20 of 20 occur only once" in refused(each, "spans")


@pytest.mark.parametrize("field", ["note_id", "patient_id"])
def test_texts_in_place_of_ids_are_refused(field):
    notes = [replace(note(i, "a"), **{field: sentence(i)}) for i in range(3)]
    assert "3 of 3 are the note's own text" in refused(notes, field)
    assert "are sentences" in refused(
        [replace(n, **{field: sentence(90 + i)}) for i, n in enumerate(notes)], field
    )


@pytest.mark.parametrize(
    "made", ["Zebrafinch_was_admitted_with_pain_{}", "ZebrafinchWasSeenForChestPain{}", "A%20b{}"]
)
def test_words_that_are_glued_are_no_ids(made):
    assert "are sentences" in refused(
        [replace(note(i, "a"), note_id=made.format(i)) for i in range(9)], "note_id"
    )


@pytest.mark.parametrize(
    "made",
    ["cantemist_train_cc_onco_{}", "n2c2_2018_track2_train_file_{}", "S0004-06142005000900{}-1"],
)
def test_ids_of_public_corpora_pass(made):
    notes = [replace(note(i, "a"), note_id=made.format(i)) for i in range(9)]
    check_plausible(notes, "note_id", "patient_id", allow_implausible=False)


@pytest.mark.parametrize(
    ("task", "wrong"),
    [
        (NoteClassification, {"label": sentence}),
        (DiagnosisCoding, {"codes": lambda i: (sentence(i),)}),
        (EntityRecognition, {"spans": lambda i: (Span(0, 3, sentence(i)),)}),
        (
            RelationExtraction,
            {
                "spans": lambda _: (Span(0, 3, "a", "T1"), Span(4, 6, "b", "T2")),
                "relations": lambda i: (Relation("T1", "T2", sentence(i)),),
            },
        ),
        (NoteClassification, {"label": lambda i: "ab"[i % 2], "note_id": sentence}),
    ],
)
def test_every_task_asks_before_it_is_fitted(task, wrong):
    notes = [
        replace(note(i, None), **{name: make(i) for name, make in wrong.items()}) for i in range(24)
    ]
    with pytest.raises(TaskError, match="do not look like names"):
        task.from_notes(notes)
    if task is not DiagnosisCoding:
        task.from_notes(notes, allow_implausible=True)


def test_a_column_mapped_by_mistake_is_refused_where_it_is_read():
    rows = [{"note_id": str(i), "text": sentence(i), "dx": "ab"[i % 2]} for i in range(24)]
    read_notes(rows, columns={"label": "dx"})
    with pytest.raises(NoteError, match="24 of 24 are the note's own text") as caught:
        read_notes(rows, columns={"label": "text"})
    assert "Zebrafinch" not in str(caught.value)
    assert len(read_notes(rows, columns={"label": "text"}, allow_implausible=True)) == 24
    for field in ("note_id", "patient_id"):
        with pytest.raises(NoteError, match="do not look like names"):
            read_notes(rows, columns={field: "text"})
