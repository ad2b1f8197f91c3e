import gzip
import json
import os

import pytest

from clinical_tl.data.formats import problems as faults
from clinical_tl.data.formats.files import File
from clinical_tl.data.formats.guessing import guess_format
from clinical_tl.data.notes import note_features
from clinical_tl.data.reading import read_notes
from clinical_tl.errors import ConfigError, FaultyNotesError, NoteError
from clinical_tl.schema import Note


def lines(path, *texts):
    rows = [{"note_id": str(i), "text": text} for i, text in enumerate(texts)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "format_name"),
    [
        ("a.jsonl", "json_lines"),
        ("a.b.JSONL.gz", "json_lines"),
        ("a.csv", "csv"),
        ("a.tsv.gz", "tsv"),
        ("a.parquet", "parquet"),
        ("a.pubtator", "pubtator"),
        ("a.pubtator.txt", "pubtator"),
        ("a.conll", "conll"),
        ("a.bio", "conll"),
        ("a.iob2", "conll"),
    ],
)
def test_the_ending_decides(tmp_path, name, format_name):
    assert guess_format(File.at(tmp_path / name)).name == format_name


@pytest.mark.parametrize("name", ["a.txt", "a.json", "a", "a.ann"])
def test_where_the_ending_tells_nothing_the_look_may(tmp_path, name):
    (tmp_path / name).write_text('{"note_id": "1", "text": "fever"}\n', encoding="utf-8")
    assert len(read_notes(tmp_path / name)) == 1
    (tmp_path / name).write_text('{"id": "1", "letter": "fever"}\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"looks like JSON .* format='json_lines'"):
        read_notes(tmp_path / name)
    columns = {"note_id": "id", "text": "letter"}
    assert len(read_notes(tmp_path / name, format="json_lines", columns=columns)) == 1


def test_folders_need_a_format_and_formats_their_kind(tmp_path):
    (tmp_path / "notes.jsonl").mkdir()
    with pytest.raises(ConfigError, match="looks like nothing"):
        read_notes(tmp_path / "notes.jsonl")
    with pytest.raises(NoteError, match="an empty folder"):
        read_notes(tmp_path / "notes.jsonl", format="csv")
    with pytest.raises(ConfigError, match=r"is a file, and brat standoff .* is a folder"):
        read_notes(lines(tmp_path / "a.jsonl", "a"), format="brat")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "xml"}, "format='xml'"),
        ({"on_error": "ignore"}, "on_error='ignore'"),
        ({"duplicates": "keep"}, "duplicates='keep'"),
        ({"sheet": 1}, r"unknown options \['sheet'\]; this format takes \['mention_label', "),
        ({"format": "conll", "delimiter": ","}, "unknown options.*'grouping'"),
        ({"format": "conll", "columns": {"text": "a"}}, "this format has none"),
    ],
)
def test_settings_are_refused_before_reading(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        read_notes(lines(tmp_path / "a.jsonl", "a"), **options)


def test_a_source_that_is_not_there(tmp_path):
    with pytest.raises(NoteError, match="no such file"):
        read_notes(tmp_path / "a.jsonl")


def test_the_schema_and_the_order(tmp_path):
    path = lines(tmp_path / "a.jsonl", *(f"note {i}" for i in range(2_500)))
    dataset = read_notes(path)
    assert dataset.dataset.features == note_features()
    assert dataset["text"][:] == [f"note {i}" for i in range(2_500)]


def test_nothing_is_written_unless_asked(tmp_path):
    path = lines(tmp_path / "a.jsonl", "a")
    dataset = read_notes(path).dataset
    assert dataset.cache_files == []
    assert [p.name for p in tmp_path.iterdir()] == ["a.jsonl"]


@pytest.mark.parametrize("is_cached", [False, True])
def test_changed_content_is_never_answered_from_a_cache(tmp_path, is_cached):
    options = {"cache_dir": tmp_path / "cache"} if is_cached else {}
    path = lines(tmp_path / "a.jsonl", "old")
    first = read_notes(path, **options)
    second = read_notes(lines(path, "new"), **options)
    assert (first["text"][:], second["text"][:]) == (["old"], ["new"])
    assert first.dataset._fingerprint != second.dataset._fingerprint
    assert second.dataset.features == note_features()
    assert bool(second.dataset.cache_files) == is_cached
    assert (
        read_notes(lines(path, "new")).dataset._fingerprint == read_notes(path).dataset._fingerprint
    )


def test_files_of_one_name_have_caches_of_their_own(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        lines(tmp_path / folder / "n.jsonl", folder)
        read_notes(tmp_path / folder / "n.jsonl", cache_dir=tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 2


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_an_empty_file_among_several_is_a_fault(tmp_path, ending):
    note = {"jsonl": '{"note_id": "1", "text": "fever"}\n', "csv": "note_id,text\n1,fever\n"}
    (tmp_path / f"a.{ending}").write_text(note[ending], encoding="utf-8")
    empty = tmp_path / f"b.{ending}"
    empty.write_bytes(b"")
    with pytest.raises(FaultyNotesError, match=rf"b\.{ending}: an empty file"):
        read_notes(tmp_path)
    empty.unlink()
    with gzip.open(f"{empty}.gz", "wb"):
        pass
    with pytest.raises(FaultyNotesError, match=rf"b\.{ending}\.gz: an empty file"):
        read_notes(tmp_path)


def test_a_file_without_a_note_among_several_is_counted(tmp_path, caplog):
    (tmp_path / "a.csv").write_text("note_id,text\n1,fever\n", encoding="utf-8")
    (tmp_path / "b.csv").write_text("note_id,text\n", encoding="utf-8")
    assert len(read_notes(tmp_path)) == 1
    (tmp_path / "c.jsonl").write_text('{"note_id": "1", "text": "fever"}\n', encoding="utf-8")
    (tmp_path / "d.jsonl").write_text("[]", encoding="utf-8")
    assert len(read_notes([tmp_path / "c.jsonl", tmp_path / "d.jsonl"], format="json_lines")) == 1
    assert caplog.text.count("passed over: 1 files without a note") == 2


def test_the_side_file_is_made_where_asked_and_an_old_one_goes(tmp_path, caplog):
    path = lines(tmp_path / "a.jsonl", "a", "", "c")
    side = tmp_path / "side.jsonl"
    assert read_notes(path, on_error="skip", rejects=side)["text"][:] == ["a", "c"]
    assert [json.loads(row) for row in side.read_text(encoding="utf-8").splitlines()] == [
        {
            "file": "a.jsonl",
            "line": 2,
            "note_id": "1",
            "found": "an empty note (0 characters, all blank)",
            "allowed": "text",
        }
    ]
    assert "2 notes kept, 1 rejected for 1 faults" in caplog.text
    read_notes(lines(path, "a"), on_error="skip", rejects=side)
    assert not side.exists()


def test_a_side_file_that_cannot_be_written(tmp_path):
    path = lines(tmp_path / "a.jsonl", "a", "")
    with pytest.raises(NoteError, match="say where: rejects="):
        read_notes(path, on_error="skip", rejects=tmp_path / "none" / "side.jsonl")


def test_nothing_sound_is_an_error_even_when_skipping(tmp_path):
    with pytest.raises(FaultyNotesError, match="2 faults"):
        read_notes(lines(tmp_path / "a.jsonl", "", " "), on_error="skip")


@pytest.mark.parametrize("note_id", ["Zebrafish has a fever", "Zebrafish" * 8])
def test_a_text_that_got_into_the_id_is_not_shown(tmp_path, note_id):
    path = tmp_path / "a.jsonl"
    row = json.dumps({"note_id": note_id, "text": ""})
    path.write_text(f"{row}\n{row}\n", encoding="utf-8")
    with pytest.raises(FaultyNotesError, match=f"<id of {len(note_id)} characters>") as caught:
        read_notes(path)
    assert "Zebrafish" not in str(caught.value)


def test_the_first_sound_of_two_equal_ids_is_kept(tmp_path):
    path = tmp_path / "a.jsonl"
    rows = [{"note_id": "1", "text": text} for text in ("", "first", "second")]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert list(read_notes(path, on_error="skip")) == [Note("1", "first")]


def test_a_pipe_or_a_device_is_refused_before_it_is_opened(tmp_path):
    os.mkfifo(tmp_path / "a.jsonl")
    for path in (tmp_path / "a.jsonl", "/dev/zero"):
        with pytest.raises(NoteError, match="no regular file"):
            read_notes(path, format="json_lines")


def test_a_packed_file_that_grows_out_of_proportion_is_refused(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    with gzip.open(path, "wb") as file:
        file.write(b'{"note_id": "1", "text": "')
        for _ in range(80):
            file.write(b"a" * 2**20)
        file.write(b'"}\n')
    with pytest.raises(FaultyNotesError, match=r"packed data .* gunzip"):
        read_notes(path)


def test_a_million_faults_are_counted_and_the_first_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(faults, "KEPT_FAULTS", 50)
    path = lines(tmp_path / "a.jsonl", *[""] * 200, "fever")
    with pytest.raises(FaultyNotesError, match=r"200 faults") as caught:
        read_notes(path)
    assert (len(caught.value.faults), caught.value.total) == (50, 200)
    assert "… and 197 more" in str(caught.value)
    assert len(read_notes(path, on_error="skip")) == 1
    side = (tmp_path / "a.jsonl.rejected.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(side) == 51
    assert "150 more faults" in side[-1]


def test_many_notes_of_one_id_are_numbered_without_going_through_all_numbers():
    records = [{"note_id": "a", "text": "fever"}] * 3000
    numbered = read_notes(records, duplicates="number")["note_id"][:]
    assert numbered[:2] + numbered[-1:] == ["a", "a#2", "a#3000"]


def test_how_empty_cells_were_read_is_logged(tmp_path, caplog):
    caplog.set_level("INFO")
    rows = "1,a,,\n2,b,ill,NA\n3,c,,I10\n4,d,ill,\n"
    (tmp_path / "a.csv").write_text(f"note_id,text,label,codes\n{rows}", encoding="utf-8")
    read_notes(tmp_path / "a.csv")
    said = "empty cells: 2 of codes: no code; 1 of codes: not annotated; 2 of label: not annotated"
    assert said in caplog.text


def test_labels_are_chosen_while_reading(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("note_id,text,codes\n1,a,I10;E11.9\n2,b,E11.65\n", encoding="utf-8")
    assert read_notes(path, labels=["E11*"])["codes"] == [("E11.9",), ("E11.65",)]
    assert read_notes(path, labels={"E11*": "diabetes"})["codes"][1] == ("diabetes",)
