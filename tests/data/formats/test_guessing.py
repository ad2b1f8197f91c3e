import json
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clinical_tl.data.reading import read_notes
from clinical_tl.errors import ClinicalTLError, ConfigError, NoteError

SECRET = "Mrs Miller"


def lines(path, *ids):
    rows = [json.dumps({"note_id": one, "text": "fever"}) + "\n" for one in ids]
    path.write_text("".join(rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        (b"%PDF-1.7 " + SECRET.encode(), "a PDF.*pdftotext"),
        (b"\xd0\xcf\x11\xe0 doc", "an old Office file"),
        (b"PK\x03\x04 docx", "an archive or an Office file"),
        (b"\x80\x04\x95 pickle", "a pickle, which is never read"),
        (f"<html><p>{SECRET}</p></html>".encode(), "a web page"),
        (f"<?xml version='1.0'?><!-- {SECRET} --><odd a='1'/>".encode(), "XML with the root <odd>"),
        (f"{SECRET} has fever".encode(), r"plain text.*folder of one text a note"),
        (
            f"id;note;code\n1;{SECRET};I10\n".encode(),
            r"text whose first line has semicolons.*format='csv', delimiter=';'",
        ),
        (json.dumps({"words": SECRET}).encode(), r"JSON.*format='json_lines'"),
        (SECRET.encode("utf-16-le"), r"no text.*encoding='utf-16-le'"),
        (b"", "nothing"),
    ],
)
def test_what_tells_no_format_is_described_without_its_text(tmp_path, content, seen):
    path = tmp_path / "notes.export"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"notes\.export: looks like {seen}") as caught:
        read_notes(path)
    assert SECRET not in str(caught.value)


def test_a_folder_of_parts_is_read_as_one(tmp_path, caplog):
    folder = tmp_path / "notes.parquet"
    folder.mkdir()
    for number in range(3):
        table = pa.table({"note_id": [f"n{number}"], "text": [f"text {number}"]})
        pq.write_table(table, folder / f"part-{number:05d}.snappy.parquet")
    (folder / "_SUCCESS").write_text("")
    (folder / ".part-00000.crc").write_text("x")
    with caplog.at_level("INFO"):
        assert read_notes(folder)["note_id"] == ["n0", "n1", "n2"]
    assert "3 files of Parquet, a note a row are read as one" in caplog.text


def test_patterns_and_lists_of_files_are_read_as_one(tmp_path):
    first, second = lines(tmp_path / "2023.jsonl", "a"), lines(tmp_path / "2024.jsonl", "b")
    assert read_notes(f"{tmp_path}/20*.jsonl")["note_id"] == ["a", "b"]
    assert read_notes(tmp_path / "20*.jsonl")["note_id"] == ["a", "b"]
    assert read_notes([second, str(first)])["note_id"] == ["b", "a"]
    with pytest.raises(NoteError, match="no such file or folder"):
        read_notes(f"{tmp_path}/19*.jsonl")
    with pytest.raises(NoteError, match="no such file"):
        read_notes([first, tmp_path / "gone.jsonl"])


def test_numbered_notes_of_several_files_have_ids_of_their_own(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text('{"text": "fever"}\n', encoding="utf-8")
    notes = read_notes(tmp_path, make_ids=True, format="json_lines")
    assert notes["note_id"] == ["a-1", "b-1"]


def test_train_and_test_do_not_become_one(tmp_path):
    lines(tmp_path / "train.jsonl", "a")
    lines(tmp_path / "test.jsonl", "b")
    with pytest.raises(ConfigError, match="test, train, which look like splits"):
        read_notes(tmp_path)
    with pytest.raises(ConfigError, match="look like splits"):
        read_notes(f"{tmp_path}/*.jsonl")


def test_files_of_several_formats_are_not_one_input(tmp_path):
    lines(tmp_path / "a.jsonl", "a")
    (tmp_path / "b.csv").write_text("note_id,text\nb,fever\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"2 formats \(a\.jsonl: json_lines, b\.csv: csv"):
        read_notes(tmp_path)
    with pytest.raises(ConfigError, match="several formats"):
        read_notes([tmp_path / "a.jsonl", tmp_path / "b.csv"])


ODD = [" ", "\n", "a", "|t|", "<!-- a -->", "[", '{"', "<a ", "-\t", "\\"]


@pytest.mark.parametrize("unit", ODD)
def test_no_look_takes_long_however_odd_the_input(tmp_path, unit):
    path = tmp_path / "odd"
    path.write_text(unit * (2**20 // len(unit)), encoding="utf-8")
    start = time.process_time()
    with pytest.raises(ClinicalTLError):
        read_notes(path)
    # Seconds where it is linear or near it, hours where a pattern backtracks.
    assert time.process_time() - start < 20


def test_hidden_files_are_no_part_of_a_pattern(tmp_path):
    lines(tmp_path / "a.jsonl", "a")
    lines(tmp_path / ".b.jsonl", "b")
    (tmp_path / ".c").mkdir()
    lines(tmp_path / ".c" / "d.jsonl", "d")
    assert read_notes(f"{tmp_path}/*.jsonl")["note_id"] == ["a"]
    assert read_notes(f"{tmp_path}/**/*.jsonl")["note_id"] == ["a"]
    with pytest.raises(ConfigError, match="is no pattern"):
        read_notes(f"{tmp_path}/**.jsonl")


def test_a_part_that_is_a_link_out_of_its_folder_is_refused(tmp_path):
    folder = tmp_path / "parts"
    folder.mkdir()
    lines(folder / "a.jsonl", "a")
    lines(tmp_path / "secret.jsonl", "b")
    (folder / "b.jsonl").symlink_to(tmp_path / "secret.jsonl")
    with pytest.raises(NoteError, match="a link that leads out of the folder"):
        read_notes(folder)
