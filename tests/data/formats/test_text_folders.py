import json
import zipfile

import pandas as pd
import pytest

from clinical_tl.data.reading import read_notes
from clinical_tl.errors import ConfigError, FaultyNotesError, NoteError
from clinical_tl.schema import Note


def folder(tmp_path, **files):
    """Files by name; `/` is `__`, and a name without an ending gets `.txt`."""
    for name, content in files.items():
        path = tmp_path / "in" / name.replace("__", "/").replace("_csv", ".csv")
        path = path if path.suffix else path.with_suffix(".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode())
    return tmp_path / "in"


def with_table(root, name, content):
    (root / name).write_text(content, encoding="utf-8")
    return root


def test_texts_alone_are_not_annotated(tmp_path, caplog):
    root = folder(tmp_path, b="Fièvre\r\n", a__c="\ufeffcough")
    (root / "README.md").write_text("which", encoding="utf-8")
    notes = list(read_notes(root, format="texts"))
    assert notes == [Note("a/c", "\ufeffcough"), Note("b", "Fièvre\r\n")]
    assert "1 files that are no .txt" in caplog.text
    with pytest.raises(ConfigError, match="'texts': a text a note; 'class_folders'"):
        read_notes(root)


def test_a_text_that_can_not_be_read_costs_itself_alone(tmp_path):
    root = folder(tmp_path, a="fever", b="")
    (root / "c.txt").write_bytes(b"fi\xe8vre")
    with pytest.raises(FaultyNotesError) as caught:
        read_notes(root, format="texts")
    assert [fault.where for fault in caught.value.faults] == ["b.txt (note b)", "c.txt (note c)"]
    assert read_notes(root, format="texts", on_error="skip")["note_id"] == ["a"]
    assert (
        read_notes(root, format="texts", on_error="skip", encoding="cp1252")["text"][1] == "fièvre"
    )


def test_folders_may_be_classes(tmp_path):
    root = folder(tmp_path, pos__1="good", neg__1="bad", neg__deep__2="worse")
    notes = list(read_notes(root, format="class_folders"))
    assert [(n.note_id, n.label) for n in notes] == [
        ("neg/1", "neg"),
        ("neg/deep/2", "neg"),
        ("pos/1", "pos"),
    ]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("pos/1.txt", "good")
    assert list(read_notes(tmp_path / "a.zip", format="class_folders")) == [notes[2]]
    folder(tmp_path, outside="?")
    with pytest.raises(FaultyNotesError, match=r"outside\.txt .*lies in no class's folder"):
        read_notes(root, format="class_folders")


def test_folders_that_are_splits_are_no_classes(tmp_path):
    root = folder(tmp_path, train__pos__1="good", test__neg__1="bad")
    with pytest.raises(ConfigError, match="called test, train, which are splits"):
        read_notes(root, format="class_folders")
    assert read_notes(root / "train", format="class_folders")["label"] == ["pos"]


ROWS = [
    {"file": "a.txt", "label": "ill", "codes": "I10; E11.9", "patient_id": "7", "ward": "3b"},
    {"file": "deep/b", "label": "well", "codes": "", "patient_id": "8", "ward": "4"},
]
NOTES = [
    Note(
        "a", "fever", label="ill", codes=("I10", "E11.9"), patient_id="7", metadata={"ward": "3b"}
    ),
    Note("deep/b", "none", label="well", codes=(), patient_id="8", metadata={"ward": "4"}),
]


def csv_table(root, **options):
    pd.DataFrame(ROWS).to_csv(root / "t.csv", index=False, **options)


def excel_table(root):
    xlsxwriter = pytest.importorskip("xlsxwriter", reason="the extra [excel] is not installed")
    pytest.importorskip("python_calamine", reason="the extra [excel] is not installed")
    with xlsxwriter.Workbook(str(root / "t.xlsx")) as book:
        sheet = book.add_worksheet()
        for i, row in enumerate([list(ROWS[0]), *(list(row.values()) for row in ROWS)]):
            sheet.write_row(i, 0, row)


def json_table(root):
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    (root / "t.jsonl").write_text(lines, encoding="utf-8")


@pytest.mark.parametrize(
    "make",
    [
        csv_table,
        lambda root: csv_table(root, sep=";"),
        lambda root: pd.DataFrame(ROWS).to_csv(root / "t.tsv", sep="\t", index=False),
        lambda root: csv_table(root, sep="\t"),
        json_table,
        excel_table,
    ],
    ids=["commas", "semicolons", "tabs", "tabs in csv", "json", "excel"],
)
def test_a_table_holds_everything_but_the_text(tmp_path, make):
    root = folder(tmp_path, a="fever", deep__b="none")
    make(root)
    known = {} if not (root / "t.xlsx").exists() else {"format": "labelled_texts"}
    assert list(read_notes(root, metadata_columns=["ward"], **known)) == NOTES


def test_columns_are_mapped_and_the_tables_own_text_is_not_the_note(tmp_path):
    root = folder(tmp_path, a="fever", b="cough")
    rows = "id,name,text,I10,J45\nn1,a.txt,excerpt,1,0\nn2,b.txt,excerpt,0,0\n"
    with_table(root, "t.csv", rows)
    columns = {"note_id": "id", "codes": ["I10", "J45"]}
    assert list(read_notes(root, columns=columns, metadata_columns=["text"])) == [
        Note("n1", "fever", codes=("I10",), metadata={"text": "excerpt"}),
        Note("n2", "cough", codes=(), metadata={"text": "excerpt"}),
    ]
    with_table(root, "t.csv", "note_id,file\n17,a\n18,b\n")
    assert read_notes(root)["note_id"] == ["17", "18"]
    with_table(root, "t.csv", "note_id,label\na,x\nb.txt,y\n")
    assert read_notes(root)["note_id"] == ["a", "b"]


def test_rows_without_text_are_faults_and_texts_without_row_are_not_annotated(tmp_path, caplog):
    root = folder(tmp_path, a="fever", b="cough", c="pain")
    with_table(root, "t.csv", "file,label\na,ill\nz,ill\n")
    with pytest.raises(FaultyNotesError, match=r"t\.csv:3: a row that names no text"):
        read_notes(root, format="labelled_texts")
    kept = list(read_notes(root, format="labelled_texts", on_error="skip"))
    assert kept == [Note("a", "fever", label="ill"), Note("b", "cough"), Note("c", "pain")]
    assert "2 texts that the table doesn't name" in caplog.text


def test_names_that_are_numbers_and_paths_of_windows(tmp_path):
    root = folder(tmp_path, deep__1="fever", deep__2="cough")
    with_table(root, "t.csv", "file;label\n1.0;ill\ndeep\\2.txt;well\n")
    assert read_notes(root)["label"] == ["ill", "well"]


def test_a_name_of_two_texts_is_none(tmp_path):
    root = folder(tmp_path, x__1="fever", y__1="cough")
    with_table(root, "t.csv", "file,label\nx/1,ill\n1,well\n")
    with pytest.raises(FaultyNotesError, match=r"names no text of the folder, or several"):
        read_notes(root, format="labelled_texts")
    with_table(root, "t.csv", "file,label\nx/1,ill\nx/1.txt,well\n")
    with pytest.raises(FaultyNotesError, match=r"'x/1' was already given at t\.csv:2"):
        read_notes(root)


def test_the_table_and_its_column_are_named_where_they_are_several(tmp_path):
    root = folder(tmp_path, a="fever", b="cough")
    with_table(root, "t.csv", "twin,of,label\nb,a,ill\na,b,well\n")
    assert read_notes(root, file_column="twin")["text"] == ["cough", "fever"]
    assert read_notes(root, file_column="of")["text"] == ["fever", "cough"]
    with pytest.raises(FaultyNotesError, match="no column 'name'"):
        read_notes(root, file_column="name")
    with_table(root, "u.csv", "file,label\na,x\n")
    with pytest.raises(NoteError, match=r"2 tables .*\['t\.csv', 'u\.csv'\]"):
        read_notes(root, format="labelled_texts")
    chosen = read_notes(root, format="labelled_texts", labels_file="u.csv")
    assert chosen["label"] == ["x", None]


def test_a_table_without_a_header_is_refused(tmp_path):
    root = with_table(folder(tmp_path, a="fever", b="cough"), "t.csv", "a,ill\nb,well\n")
    with pytest.raises(ConfigError, match="the table has no header"):
        read_notes(root, format="labelled_texts")
    with pytest.raises(ConfigError, match="say which format"):
        read_notes(root)
    (root / "t.csv").unlink()
    with pytest.raises(NoteError, match="0 tables to take labels from"):
        read_notes(root, format="labelled_texts")


NUMBERED = {"1": "first", "2": "second", "3": "third"}
BY_FILE = {"A": "third", "B": "first", "C": "second"}


@pytest.mark.parametrize("name", ["file", "FileName", "path", "note_id"])
def test_a_number_of_a_row_is_not_taken_for_the_name_of_a_text(tmp_path, name):
    root = folder(tmp_path, **NUMBERED)
    with_table(root, "t.csv", f"row,label,{name}\n1,A,3.txt\n2,B,1.txt\n3,C,2.txt\n")
    assert {note.label: note.text for note in read_notes(root)} == BY_FILE


def test_columns_that_name_different_texts_are_refused_until_one_is_chosen(tmp_path):
    root = folder(tmp_path, **NUMBERED)
    with_table(root, "t.csv", "row,label,doc\n1,A,1.txt\n2,B,3.txt\n3,C,2.txt\n")
    with pytest.raises(ConfigError, match=r"'row', 'doc'.* name different texts.*file_column="):
        read_notes(root)
    # The first row's file is missing: the number beside it must not take its place.
    with_table(root, "u.csv", "row,label,doc\n1,A,9.txt\n2,B,1.txt\n")
    with pytest.raises(ConfigError, match="name different texts"):
        read_notes(root, format="labelled_texts", labels_file="u.csv", on_error="skip")
    with_table(root, "u.csv", "row,label,doc\n1,A,3.txt\n2,B,1.txt\n3,C,2.txt\n")
    asked = {"format": "labelled_texts", "labels_file": "u.csv", "file_column": "doc"}
    assert {note.label: note.text for note in read_notes(root, **asked)} == BY_FILE
