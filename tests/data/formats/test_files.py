import bz2
import gzip
import lzma
import zipfile

import pyarrow as pa
import pytest

from clinical_tl.data.formats.files import File
from clinical_tl.data.reading import read_notes
from clinical_tl.errors import ConfigError, FaultyNotesError, NoteError

LINES = '{"note_id": "1", "text": "Fieber über 39 °C"}\n{"note_id": "2", "text": "frei"}\n'
PACKERS = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda data: pa.compress(data, codec="zstd", asbytes=True),
}


@pytest.mark.parametrize("ending", PACKERS)
def test_packed_files_are_read_as_what_they_hold(tmp_path, ending):
    path = tmp_path / f"a.jsonl.{ending}"
    path.write_bytes(PACKERS[ending](LINES.encode()))
    assert read_notes(path)["text"] == ["Fieber über 39 °C", "frei"]


@pytest.mark.parametrize("ending", PACKERS)
def test_a_packed_file_that_breaks_off_is_a_fault_and_keeps_no_half_note(tmp_path, ending):
    path = tmp_path / f"a.jsonl.{ending}"
    packed = PACKERS[ending](LINES.encode() * 3000)
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(FaultyNotesError, match=r"breaks off|can't be read"):
        read_notes(path, duplicates="number")


@pytest.mark.parametrize("ending", ["gz", "bz2", "xz", "zst"])
def test_a_packed_file_may_not_fill_the_memory(tmp_path, ending, monkeypatch):
    monkeypatch.setattr("clinical_tl.data.formats.packing.ALWAYS_ALLOWED_BYTES", 2**16)
    path = tmp_path / f"a.jsonl.{ending}"
    path.write_bytes(PACKERS[ending](b" " * 2**22))
    with pytest.raises(FaultyNotesError, match="times the packed size"):
        read_notes(path)


def test_the_files_of_an_archive_are_read_as_one(tmp_path):
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("out/part-0.jsonl", LINES)
        archive.writestr("out/part-1.jsonl.gz", gzip.compress(b'{"note_id": "3", "text": "x"}\n'))
        archive.writestr("__MACOSX/out/._part-0.jsonl", b"\0\1")
        archive.writestr("out/.DS_Store", b"\0\1")
        archive.writestr("out/_SUCCESS", b"")
    assert read_notes(path)["note_id"] == ["1", "2", "3"]
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("out/part-2.jsonl", '{"note_id": "4"}\n')
    with pytest.raises(FaultyNotesError, match=r"out/part-2\.jsonl:1: no column 'text'"):
        read_notes(path)


def test_an_archive_may_hold_a_folder_format(tmp_path):
    path = tmp_path / "brat.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/1.txt", "took aspirin")
        archive.writestr("a/1.ann", "T1\tDrug 5 12\taspirin\n")
    (note,) = read_notes(path)
    assert (note.note_id, note.text[note.spans[0].start :]) == ("a/1", "aspirin")


def test_an_archive_that_is_none_or_has_a_password_says_so(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(b"PK no archive")
    with pytest.raises(NoteError, match=r"no \.zip, or a broken one"):
        read_notes(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.jsonl", LINES)
    # The bit that says "encrypted", in both headers.
    packed = bytearray(path.read_bytes())
    packed[6] |= 1
    packed[packed.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(packed)
    with pytest.raises(FaultyNotesError, match="password"):
        read_notes(path)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
@pytest.mark.parametrize("ending", ["csv", "jsonl", "conll"])
def test_a_byte_order_mark_is_believed(tmp_path, encoding, ending):
    texts = {
        "csv": "note_id,text\n1,Übelkeit 😀\n",
        "jsonl": '{"note_id": "1", "text": "Übelkeit 😀"}\n',
        "conll": "# newdoc id = 1\nÜbelkeit\tB-S\n😀\tO\n",
    }
    path = tmp_path / f"a.{ending}"
    path.write_bytes(texts[ending].encode(encoding))
    assert read_notes(path)[0].text == "Übelkeit 😀"
    assert read_notes(path, encoding="cp1252")[0].text == "Übelkeit 😀"


def test_half_a_character_of_utf16_costs_its_note_alone(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("note_id,text\n1,a\ud83d\n2,b\n".encode("utf-16", "surrogatepass"))
    with pytest.raises(FaultyNotesError, match=r"a\.csv:2 \(note 1\): .*half a character"):
        read_notes(path)
    assert read_notes(path, on_error="skip")["note_id"] == ["2"]


def test_other_encodings_are_named_and_only_applied_when_asked_for(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("note_id;text\n1;pt said “no” – 5 € owed, Müdigkeit\n".encode("cp1252"))
    with pytest.raises(FaultyNotesError, match=r"The bytes may be encoding='cp1252'") as caught:
        read_notes(path, on_error="skip")
    assert "said" not in str(caught.value)
    assert read_notes(path, encoding="cp1252")["text"] == ["pt said “no” – 5 € owed, Müdigkeit"]
    path.write_bytes("note_id;text\n1;患者高血压十年，无发热，无头痛\n".encode("gb18030"))
    with pytest.raises(FaultyNotesError, match="The bytes may be encoding='gb18030'"):
        read_notes(path)
    assert read_notes(path, encoding="gb18030")["text"] == ["患者高血压十年，无发热，无头痛"]


def test_an_encoding_that_nobody_knows_is_refused(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(LINES, encoding="utf-8")
    for name in ("cp-1252-of-mine", "hex", "rot13"):
        with pytest.raises(ConfigError, match="encoding="):
            read_notes(path, encoding=name)
    with pytest.raises(ConfigError, match="files and folders"):
        read_notes([{"note_id": "1", "text": "a"}], encoding="cp1252")


def test_lines_end_with_line_feeds_alone(tmp_path):
    path = tmp_path / "a"
    path.write_bytes("\ufeffa\u2028b\x85\rc\r\nd".encode())
    assert list(File.at(path).lines()) == [(1, "a\u2028b\x85\rc"), (2, "d")]


def test_an_archive_of_many_files_is_opened_once(tmp_path, monkeypatch):
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(200):
            archive.writestr(f"{number}.txt", f"letter {number}")
    opened = []
    monkeypatch.setattr(
        "clinical_tl.data.formats.folders.open_archive",
        lambda path: opened.append(path) or zipfile.ZipFile(path),
    )
    assert len(read_notes(path, format="texts")) == 200
    assert len(opened) <= 3


def test_small_files_that_together_fill_the_memory_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("clinical_tl.data.formats.packing.ALWAYS_ALLOWED_BYTES", 2**16)
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for number in range(100):
            archive.writestr(f"{number}.txt", " " * 60_000)
    with pytest.raises(NoteError, match="times the packed size"):
        read_notes(path, format="texts")


def test_lines_end_as_on_old_macs_where_there_is_no_line_feed(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"a\r\rb\r")
    assert list(File.at(path).lines()) == [(1, "a"), (2, ""), (3, "b")]
    path.write_bytes(b"a\r")
    assert list(File.at(path).lines()) == [(1, "a")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.pubtator", "1|t|Fever\n1|a|High\n1\t0\t5\tFever\tSign\tD1\n\n2|t|Cold\n2|a|Mild\n"),
        ("a.dat", "1|t|Fever\n1|a|High\n1\t0\t5\tFever\tSign\tD1\n\n2|t|Cold\n2|a|Mild\n"),
        ("a.jsonl", '{"note_id": "1", "text": "a"}\n{"note_id": "2", "text": "b"}\n'),
        ("a.tsv", "#FORMAT=WebAnno TSV 3.3\n\n\n#Text=Hi you\n1-1\t0-2\tHi\n1-2\t3-6\tyou\n"),
    ],
)
def test_formats_of_lines_read_the_same_from_an_old_mac(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content.encode())
    expected = list(read_notes(path))
    path.write_bytes(content.replace("\n", "\r").encode())
    assert list(read_notes(path)) == expected


def test_annotations_from_an_old_mac_and_a_text_that_stays_as_it_is(tmp_path):
    (tmp_path / "1.txt").write_bytes(b"no\rfever\r")
    (tmp_path / "1.ann").write_bytes(b"T1\tNeg 0 2\tno\rT2\tSign 3 8\tfever\r")
    (note,) = read_notes(tmp_path)
    assert (note.text, len(note.spans)) == ("no\rfever\r", 2)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_wide_characters_without_a_mark_are_a_fault_that_names_them(tmp_path, encoding):
    (tmp_path / "a.txt").write_bytes("Hello fever, 38 °C".encode(encoding).replace(b"\xb0", b"+"))
    with pytest.raises(FaultyNotesError, match=rf"NUL characters.*encoding='{encoding}'") as caught:
        read_notes(tmp_path, format="texts")
    assert "fever" not in str(caught.value).replace("\0", "")
    (note,) = read_notes(tmp_path, format="texts", encoding=encoding)
    assert note.text == "Hello fever, 38 +C"


def test_a_stray_nul_costs_no_note_and_is_told(tmp_path, caplog):
    (tmp_path / "a.txt").write_bytes(b"no fever and no cough\0 today")
    with caplog.at_level("WARNING"):
        (note,) = read_notes(tmp_path, format="texts")
    assert "\0" in note.text
    assert "notes with NUL characters" in caplog.text
