import csv
import gzip
import io
import zipfile

import pytest

from clinical_tl.data.formats.mimic import with_dot
from clinical_tl.data.reading import read_notes
from clinical_tl.errors import ConfigError, FaultyNotesError, NoteError
from clinical_tl.schema import Note

III_NOTES = (
    "ROW_ID,SUBJECT_ID,HADM_ID,CHARTDATE,CHARTTIME,STORETIME,CATEGORY,DESCRIPTION,CGID,ISERROR,TEXT"
)
III_CODES = "ROW_ID,SUBJECT_ID,HADM_ID,SEQ_NUM,ICD9_CODE"
IV_NOTES = "note_id,subject_id,hadm_id,note_type,note_seq,charttime,storetime,text"
IV_CODES = "subject_id,hadm_id,seq_num,icd_code,icd_version"
IV_PROCEDURES = "subject_id,hadm_id,seq_num,chartdate,icd_code,icd_version"


def table(header, *rows):
    stream = io.StringIO()
    csv.writer(stream).writerows([header.split(","), *rows])
    return stream.getvalue()


def three(row, admission, text, category="Discharge summary", error=""):
    day = "2150-01-02"
    return (row, 10, admission, day, "", "", category, "Report", "", error, text)


def four(note_id, subject, admission, text):
    return (note_id, subject, admission, "DS", 1, "2150-01-02 00:00:00", "", text)


III = {
    "NOTEEVENTS.csv": table(
        III_NOTES,
        three(1, 100, 'Said "fine",\r\nleft.\n'),
        three(2, 100, "Stable.", category="Nursing"),
        three(3, 101, "Never mind.", error="1"),
        three(4, 101, "Fell."),
        three(5, 102, "Not coded."),
        three(6, "", "At no stay."),
    ),
    "DIAGNOSES_ICD.csv": table(
        III_CODES,
        (1, 10, 100, 2, "25000"),
        (2, 10, 100, 1, "4019"),
        (3, 10, 101, 1, "E8889"),
        (4, 10, 101, 2, "V5861"),
        (5, 10, 101, 3, ""),
        (6, 10, 101, 4, "042"),
    ),
    "PROCEDURES_ICD.csv": table(III_CODES, (1, 10, 101, 1, "3893"), (2, 10, 101, 2, "9604")),
}
IV = {
    "note/discharge.csv": table(
        IV_NOTES, four("1-DS-1", 1, 900, "One."), four("2-DS-1", 2, 901, "Two.")
    ),
    "note/radiology.csv": table(IV_NOTES, four("1-RR-2", 1, 900, "Chest.")),
    "hosp/diagnoses_icd.csv": table(
        IV_CODES,
        (1, 900, 1, "I2510", 10),
        (1, 900, 2, "Z7901 ", 10),
        (2, 901, 1, "4019", 9),
        (2, 901, 2, "V5861", 9),
    ),
    "hosp/procedures_icd.csv": table(IV_PROCEDURES, (1, 900, 1, "2150-01-02", "02HV33Z", 10)),
}


def folder(tmp_path, tables, *, packed=False, without=()):
    for name, content in tables.items():
        if name in without:
            continue
        path = tmp_path / "mimic" / (f"{name}.gz" if packed else name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content.encode()) if packed else content.encode())
    return tmp_path / "mimic"


@pytest.mark.parametrize("packed", [False, True])
def test_mimic3_notes_get_the_codes_of_their_stay(tmp_path, caplog, packed):
    caplog.set_level("INFO")
    notes = list(read_notes(folder(tmp_path, III, packed=packed)))
    assert notes == [
        Note("1", 'Said "fine",\r\nleft.\n', patient_id="10", codes=("401.9", "250.00")),
        Note("4", "Fell.", patient_id="10", codes=("E888.9", "V58.61", "042")),
        Note("5", "Not coded.", patient_id="10"),
        Note("6", "At no stay.", patient_id="10"),
    ]
    assert "1 notes of other categories; 1 notes that are marked as errors" in caplog.text
    assert "1 rows of codes without a code" in caplog.text
    assert "1 of admissions without a code: codes not annotated" in caplog.text
    assert "1 of hadm_id: codes not annotated" in caplog.text


def test_categories_and_procedures_are_chosen(tmp_path):
    root = folder(tmp_path, III)
    assert read_notes(root, category="all")["note_id"] == ["1", "2", "4", "5", "6"]
    assert read_notes(root, category=["Nursing"])["note_id"] == ["2"]
    codes = read_notes(root, procedures=True)[1].codes
    assert codes == ("E888.9", "V58.61", "042", "38.93", "96.04")
    with pytest.raises(ConfigError, match="category must be a name"):
        read_notes(root, category=[])


def test_mimic4_codes_are_of_one_version(tmp_path):
    root = folder(tmp_path, IV)
    with pytest.raises(ConfigError, match=r"2 of ICD-9, 2 of ICD-10\).*icd_version=9 or"):
        read_notes(root)
    assert [note.codes for note in read_notes(root, icd_version=10)] == [("I25.10", "Z79.01"), None]
    assert [note.codes for note in read_notes(root, icd_version=9)] == [None, ("401.9", "V58.61")]
    both = read_notes(root, icd_version=10, procedures=True, metadata_columns=["hadm_id"])
    assert both[0].codes == ("I25.10", "Z79.01", "02HV33Z")
    assert both[0].metadata == {"hadm_id": "900"}
    with pytest.raises(ConfigError, match="icd_version=11; allowed: 9, 10"):
        read_notes(root, icd_version=11)


def test_mimic4_tables_of_notes_are_chosen_by_category(tmp_path):
    root = folder(tmp_path, IV)
    assert read_notes(root, icd_version=10, category="Radiology")["note_id"] == ["1-RR-2"]
    assert len(read_notes(root, icd_version=10, category="all")) == 3
    with pytest.raises(NoteError, match="no table noteevents, or discharge and radiology"):
        read_notes(root, icd_version=10, category="Nursing")


def test_one_version_needs_not_be_said(tmp_path):
    tables = dict(IV)
    tables["hosp/diagnoses_icd.csv"] = table(IV_CODES, (1, 900, 1, "I10", 10))
    root = folder(tmp_path, tables)
    assert read_notes(root)[0].codes == ("I10",)
    with pytest.raises(ConfigError, match=r"no code of ICD-9 \(1 of ICD-10\)"):
        read_notes(root, icd_version=9)


def test_an_archive_with_names_in_any_case(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, content in III.items():
            archive.writestr(
                f"mimic-iii/{name.lower()}.gz", gzip.compress(content.lower().encode())
            )
    notes = read_notes(tmp_path / "a.zip", category="discharge summary")
    assert [note.codes for note in notes][:2] == [("401.9", "250.00"), ("e888.9", "v58.61", "042")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x/diagnoses_icd.csv", IV["hosp/diagnoses_icd.csv"], "are both the table diagnoses_icd"),
        ("hosp/diagnoses_icd.csv", "a,b\n1,2\n", "without the columns"),
        ("hosp/diagnoses_icd.csv", f"{IV_CODES}\n1,2\n", "2 cells; allowed: 5 cells"),
        ("hosp/diagnoses_icd.csv", f"{IV_CODES}\n1,900,1,I10,11\n", "neither 9 nor 10"),
    ],
)
def test_tables_of_codes_that_can_not_be_read_are_refused(tmp_path, name, content, message):
    root = folder(tmp_path, {**IV, name: content})
    with pytest.raises((FaultyNotesError, NoteError), match=message):
        read_notes(root)


@pytest.mark.parametrize("end", ['7,10,102,1,"403', '7,10,102,1,"40"3\r\n8,10,102,2,"4019"\r\n'])
def test_codes_that_are_cut_off_or_swallowed_by_a_quote_are_refused(tmp_path, end):
    codes = III["DIAGNOSES_ICD.csv"] + end
    root = folder(tmp_path, {**III, "DIAGNOSES_ICD.csv": codes})
    with pytest.raises(FaultyNotesError, match=r"DIAGNOSES_ICD.csv:\d+: a table of codes that is"):
        read_notes(root, on_error="skip", rejects=tmp_path / "r.jsonl")


@pytest.mark.parametrize("row", ["7,10,100,4280", "7,10,,100,3,4280", "100,3,4280", "7,10,100"])
def test_a_broken_row_of_codes_costs_the_notes_of_its_admission(tmp_path, caplog, row):
    codes = "\r\n" + III["DIAGNOSES_ICD.csv"] + row + "\r\n"
    root = folder(tmp_path, {**III, "DIAGNOSES_ICD.csv": codes})
    side = tmp_path / "r.jsonl"
    assert read_notes(root, on_error="skip", rejects=side)["note_id"] == ["4", "5", "6"]
    assert "3 notes kept, 1 rejected for 2 faults" in caplog.text


def test_a_code_of_no_version_costs_the_notes_of_its_admission(tmp_path):
    tables = dict(IV)
    rows = ((1, 900, 1, "I10", 10), (1, 900, 2, "I11", 11), (2, 901, 1, "I10", 10))
    tables["hosp/diagnoses_icd.csv"] = table(IV_CODES, *rows)
    root = folder(tmp_path, tables)
    assert read_notes(root, on_error="skip")["note_id"] == ["2-DS-1"]


def test_a_table_that_lacks_is_named(tmp_path):
    root = folder(tmp_path, IV, without=["hosp/procedures_icd.csv"])
    with pytest.raises(NoteError, match=r"no table procedures_icd"):
        read_notes(root, icd_version=10, procedures=True)
    with pytest.raises(NoteError, match=r"no table diagnoses_icd"):
        read_notes(tmp_path / "mimic" / "note", format="mimic")


def test_a_table_of_notes_is_known_by_its_columns(tmp_path):
    path = tmp_path / "d.csv.gz"
    path.write_bytes(gzip.compress(IV["note/discharge.csv"].encode()))
    assert list(read_notes(path)) == [
        Note("1-DS-1", "One.", patient_id="1"),
        Note("2-DS-1", "Two.", patient_id="2"),
    ]
    assert read_notes(path, columns={"patient_id": "hadm_id"})["patient_id"] == ["900", "901"]
    (tmp_path / "n.csv").write_text(III["NOTEEVENTS.csv"], encoding="utf-8", newline="")
    notes = read_notes(tmp_path / "n.csv", metadata_columns=["CATEGORY"])
    assert notes["note_id"] == ["1", "2", "4", "5", "6"]
    assert notes[1].metadata == {"CATEGORY": "Nursing"}
    assert read_notes(tmp_path / "n.csv", category="Nursing")["note_id"] == ["2"]


@pytest.mark.parametrize(
    ("code", "version", "is_procedure", "dotted"),
    [
        ("042", 9, False, "042"),
        ("25001", 9, False, "250.01"),
        ("V3000", 9, False, "V30.00"),
        ("E8781", 9, False, "E878.1"),
        ("E030", 9, False, "E030"),
        ("E119", 10, False, "E11.9"),
        ("V4352XA", 10, False, "V43.52XA"),
        ("C4A9", 10, False, "C4A.9"),
        ("9971", 9, True, "99.71"),
        ("99", 9, True, "99"),
        ("0BH17EZ", 10, True, "0BH17EZ"),
        ("401.9", 9, False, "401.9"),
    ],
)
def test_codes_get_their_dot(code, version, is_procedure, dotted):
    assert with_dot(code, version, is_procedure=is_procedure) == dotted
