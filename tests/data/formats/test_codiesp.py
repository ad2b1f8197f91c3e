import json
import os

import pytest

from clinical_tl.data.reading import read_notes
from clinical_tl.errors import ConfigError, FaultyNotesError, NoteError
from clinical_tl.schema import Note


def folder(tmp_path, table, texts="texts", **notes):
    root = tmp_path / "train"
    (root / texts).mkdir(parents=True, exist_ok=True)
    for name, text in notes.items():
        (root / texts / f"{name}.txt").write_bytes(text.encode())
    if table is not None:
        (root / "trainD.tsv").write_text(table, encoding="utf-8")
    return root


def read(root, **options):
    return list(read_notes(root, format="codiesp", **options))


def test_texts_and_codes(tmp_path):
    root = folder(tmp_path, "b\tn44.8\nb\tI10\na\tr52\n", a="Zebra\r\n", b="fish", c="no code")
    assert read(root) == [
        Note("a", "Zebra\r\n", codes=("R52",)),
        Note("b", "fish", codes=("N44.8", "I10")),
        Note("c", "no code", codes=()),
    ]


def test_without_a_table_nothing_is_annotated(tmp_path):
    assert read(folder(tmp_path, None, a="x")) == [Note("a", "x", codes=None)]


def test_several_tables_or_folders_must_be_told_apart(tmp_path):
    root = folder(tmp_path, "a\ti10\n", "text_files", a="uno")
    folder(tmp_path, "a\ti10\n", "text_files_en", a="one")
    with pytest.raises(FaultyNotesError, match=r"already given at text_files/a\.txt"):
        read(root)
    assert read(root, texts="text_files_en") == [Note("a", "one", codes=("I10",))]
    (root / "trainP.tsv").write_text("a\tj44\n", encoding="utf-8")
    with pytest.raises(NoteError, match="2 tables of codes"):
        read(root, texts="text_files_en")
    chosen = read(root, texts="text_files_en", codes_file="trainP.tsv")
    assert chosen == [Note("a", "one", codes=("J44",))]
    with pytest.raises(NoteError, match="there is no 'elsewhere'"):
        read(root, texts="elsewhere", codes_file="trainP.tsv")


def test_faults_of_the_table_spoil_their_notes(tmp_path):
    table = "a\ti10\nb\ti10\tx\nc\tI10\nc\ti10\nd\tr52\n"
    root = folder(tmp_path, table, a="Zebra", b="fish", c="cough", d="")
    (root / "texts" / "d.txt").unlink()
    with pytest.raises(FaultyNotesError) as caught:
        read(root)
    assert [(fault.where, fault.found) for fault in caught.value.faults] == [
        ("trainD.tsv:2", "3 columns, or a blank one"),
        ("trainD.tsv:4", "a code that the note already has"),
        ("texts/b.txt (note b)", "a note with a broken row of codes"),
        ("trainD.tsv:5", "codes for d, which has no text file"),
    ]
    assert [note.note_id for note in read(root, on_error="skip")] == ["a", "c"]
    side = (tmp_path / "train.rejected.jsonl").read_text(encoding="utf-8")
    assert [json.loads(row)["line"] for row in side.splitlines()] == [2, 4, None, 5]


def test_what_is_no_file_of_the_folder_costs_itself_alone(tmp_path, caplog):
    for name in ("a.txt", "Z.TXT"):
        (tmp_path / name).write_text("fever", encoding="utf-8")
    (tmp_path / "b.txt").symlink_to(tmp_path / "nothing")
    (tmp_path / "c.txt").mkdir()
    os.mkfifo(tmp_path / "d.txt")
    (tmp_path / "e.txt").symlink_to("/dev/zero")
    side = tmp_path.parent / f"{tmp_path.name}.side"
    kept = read_notes(tmp_path, format="codiesp", on_error="skip", rejects=side)
    assert sorted(kept["note_id"]) == ["Z", "a"]
    assert "2 notes kept, 4 rejected for 4 faults" in caplog.text


def test_a_table_that_is_a_pipe_is_a_fault(tmp_path):
    (tmp_path / "a.txt").write_text("fever", encoding="utf-8")
    os.mkfifo(tmp_path / "codes.tsv")
    with pytest.raises(FaultyNotesError, match="no regular file"):
        read_notes(tmp_path, format="codiesp")


def test_cells_of_the_table_as_other_programs_write_them(tmp_path):
    for name in ("1", "2", "3"):
        (tmp_path / f"{name}.txt").write_text("fever", encoding="utf-8")
    rows = "1.0\t['i10', 'e11.9']\n2\tNA\n3.0\t250.00\n"
    (tmp_path / "codes.tsv").write_text(rows, encoding="utf-8")
    notes = list(read_notes(tmp_path, format="codiesp"))
    assert [note.codes for note in notes] == [("I10", "E11.9"), None, ("250.00",)]


def labelled(tmp_path, name, *rows, **notes):
    for stem, text in notes.items():
        (tmp_path / f"{stem}.txt").write_text(text, encoding="utf-8")
    (tmp_path / name).write_text("\n".join(rows) + "\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("t.tsv", ["a\ti10", "a\te11.9", "b\tR52"]),
        ("t.tsv", ["articleID\tcode", "a\ti10", "a\te11.9", "b\tR52"]),
        ("t.csv", ["articleID,code", "a,i10", "a,e11.9", "b,R52"]),
        ("t.csv", ["id;icd10", 'a;"i10"', "a;e11.9", "b;R52"]),
        ("t.csv", ["a.txt;I10;high pressure", "a.txt;E11.9;sugar", "b.txt;R52;pain"]),
        ("t.tsv", ["a\tDIAGNOSTICO\ti10", "a\tDIAGNOSTICO\te11.9", "b\tDIAGNOSTICO\tr52"]),
    ],
)
def test_tables_of_other_makes_are_known_and_read(tmp_path, name, rows):
    root = labelled(tmp_path, name, *rows, a="uno", b="dos", c="tres")
    codes = [note.codes for note in read_notes(root)]
    assert codes == [("I10", "E11.9"), ("R52",), ()]


MENTIONS = [
    "a\tDIAGNOSTICO\tr52\tDolor agudo\t0 5;13 18",
    "a\tPROCEDIMIENTO\tbw03zzz\tradiografía\t25 36",
    "a\tDIAGNOSTICO\tr52\tdolor\t0 5",
]


def test_mentions_are_spans_where_their_offsets_fit(tmp_path, caplog):
    root = labelled(tmp_path, "x.tsv", *MENTIONS, a="Dolor de pie agudo. Una  radiografía.", b="no")
    first, second = read_notes(root)
    assert first.codes == ("R52", "BW03ZZZ")
    assert [(first.text[s.start : s.end], s.label, s.concepts) for s in first.spans] == [
        ("Dolor de pie agudo", "DIAGNOSTICO", ("R52",)),
        ("radiografía", "PROCEDIMIENTO", ("BW03ZZZ",)),
        ("Dolor", "DIAGNOSTICO", ("R52",)),
    ]
    assert first.spans[0].fragments == ((0, 5), (13, 18))
    assert (second.codes, second.spans) == ((), ())
    (tmp_path / "a.txt").write_text("Acute pain of the foot. An X-ray image.", encoding="utf-8")
    first = read_notes(root)[0]
    assert (first.codes, first.spans) == (("R52", "BW03ZZZ"), None)
    assert "1 notes with mentions whose offsets don't fit" in caplog.text


def test_kinds_are_chosen(tmp_path):
    root = labelled(tmp_path, "x.tsv", *MENTIONS, a="Dolor de pie agudo. Una  radiografía.")
    note = read_notes(root, kinds="PROCEDIMIENTO")[0]
    assert (note.codes, len(note.spans)) == (("BW03ZZZ",), 1)
    with pytest.raises(ConfigError, match=r"allowed: those of the table, \['DIAGNOSTICO'"):
        read_notes(root, kinds=["diagnosis"])
    labelled(tmp_path, "x.tsv", "a\tr52")
    with pytest.raises(ConfigError, match="which this one lacks"):
        read_notes(root, kinds=["DIAGNOSTICO"])


def test_offsets_that_are_none_spoil_their_note(tmp_path):
    rows = [f"a\tDIAGNOSTICO\tr5{i}\tDolor\t0 5" for i in range(20)]
    root = labelled(tmp_path, "x.tsv", *rows, "b\tDIAGNOSTICO\tr52\tDolor\t0-5", a="Dolor", b="x")
    with pytest.raises(FaultyNotesError, match=r"x\.tsv:21: offsets that are none"):
        read_notes(root)
    assert read_notes(root, on_error="skip")["note_id"] == ["a"]


@pytest.mark.parametrize("row", ["z\tI10", "a\tthe left foot", "a", "a\tb\tc\td\te\tf"])
def test_a_folder_with_another_table_is_not_taken_for_it(tmp_path, row):
    root = labelled(tmp_path, "t.tsv", row, a="uno")
    with pytest.raises(ConfigError, match="looks like 2 files"):
        read_notes(root)
