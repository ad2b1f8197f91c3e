import json
import os

import pytest

from clinical_tl.data.reading import read_notes
from clinical_tl.errors import FaultyNotesError, NoteError
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
