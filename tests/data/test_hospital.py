from collections import Counter

import pandas as pd

from clinical_tl.data.reading import read_notes
from clinical_tl.data.splits import split_notes
from tests.data.hospital import OPTIONS, write_hospital


def test_a_hospitals_table_becomes_notes_in_one_call(tmp_path, caplog):
    caplog.set_level("INFO")
    path = tmp_path / "briefe.csv"
    written = write_hospital(path)
    notes = read_notes(path, **OPTIONS)
    kinds = Counter(
        "not" if codes is None else "coded" if codes else "none" for codes in notes["codes"]
    )
    assert (len(notes), written.blank) == (written.notes, 7)
    assert set(notes["patient_id"]) - {None} == written.patients
    assert Counter(label for label in notes["label"] if label) == written.labels
    assert kinds == written.codes
    assert Counter(note.metadata["Sprache"] for note in notes) == written.languages
    assert any("„wie bisher“" in text for text in notes["text"])
    assert any("¿Qué hubo? Hipertensión" in text for text in notes["text"])
    assert all(0 < len(note.codes) <= 3 for note in notes if note.codes)
    for said in (
        f"{written.notes} notes kept, {written.blank} rejected",
        "3 rows whose cells are all blank",
        "patient_id: whole numbers written as floats",
        f"{written.codes['none']} of codes: no code",
        f"{written.notes - written.labels.total()} of label: not annotated",
    ):
        assert said in caplog.text


def test_the_counts_are_those_of_another_reader(tmp_path):
    path = tmp_path / "briefe.csv"
    written = write_hospital(path)
    frame = pd.read_csv(path, sep=";", encoding="cp1252", dtype=str, keep_default_na=False)
    frame = frame[frame.Fallnr != ""]
    kept = frame[frame.Brieftext.str.strip() != ""]
    assert (len(kept), len(frame) - len(kept)) == (written.notes, written.blank)
    assert set(kept.PatNr.str.removesuffix(".0")) - {""} == written.patients
    by_cell = kept.Diagnosen.map({"": "none", "NA": "not"}).fillna("coded")
    assert Counter(by_cell) == written.codes


def test_its_patients_can_be_split(tmp_path):
    path = tmp_path / "briefe.csv"
    write_hospital(path)
    notes = read_notes(path, **OPTIONS).filter(lambda note: note.patient_id is not None)
    splits = split_notes(notes, fractions={"train": 0.7, "test": 0.3})
    patients = [set(part["patient_id"]) for part in splits.values()]
    assert patients[0].isdisjoint(patients[1])
