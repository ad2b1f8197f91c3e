"""Everything that a reading can be told is a field of `ReadOptions`, and is told as it is given."""

from __future__ import annotations

import ast
import inspect
from dataclasses import fields

import pytest

from clinical_tl.data import reading
from clinical_tl.data.read_options import ReadOptions
from clinical_tl.errors import ConfigError

FIELDS = {field.name: field.default for field in fields(ReadOptions)}


def options_of(reader):
    parameters = inspect.signature(reader).parameters.values()
    # A layout is made of the arguments of read_notes.
    return {p.name for p in parameters if p.kind is p.KEYWORD_ONLY} - {"layout"}


def test_no_argument_of_read_notes_is_missing_and_defaults_are_the_same():
    parameters = inspect.signature(reading.read_notes).parameters.values()
    arguments = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    assert arguments
    assert {name: FIELDS.get(name, "missing") for name in arguments} == arguments


def test_no_option_of_any_reader_is_missing_and_left_alone_none_is_told():
    readers = {value for name, value in vars(reading).items() if name.startswith("read_")} | {
        *reading.READERS.values(),
        reading.DATASET_READER,
    }
    options = set.union(*(options_of(reader) for reader in readers))
    assert {"delimiter", "scheme", "codes_file", "no_relation", "cats"} <= options
    assert options - set(FIELDS) == set()
    of_formats = options - options_of(reading.read_notes)
    assert {FIELDS[name] for name in of_formats} == {None}
    assert ReadOptions().given() == {}


def test_every_field_is_documented():
    (documented,) = (
        part for part in inspect.getdoc(ReadOptions).split("\n\n") if part.startswith("Args:")
    )
    said = [
        line.strip().partition(":")[0] for line in documented.splitlines()[1:] if line[4] != " "
    ]
    assert said == list(FIELDS)
    assert ast.get_docstring(ast.parse(inspect.getsource(ReadOptions)).body[0])


def test_a_file_is_read_as_told(tmp_path):
    file = tmp_path / "notes.csv"
    file.write_text("letter;class;sex\nShort of breath.;NA;f\n")
    read = ReadOptions(
        columns={"text": "letter", "label": "class"}, delimiter=";", make_ids=True,
        as_written=("label",), metadata_columns=("sex",),
    )  # fmt: skip
    (note,) = read.read(file)
    assert (note.note_id, note.label, note.metadata) == ("notes-1", "NA", {"sex": "f"})


def test_one_list_of_rejects_is_not_written_over_by_the_next_file(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text(f"note_id,text\n{name}1,Sound.\n{name}2\n")
    files = {"train": tmp_path / "a.csv", "dev": None, "test": tmp_path / "b.csv"}
    read = ReadOptions(on_error="skip", rejects=str(tmp_path / "rejects.jsonl"))
    with pytest.raises(ConfigError, match=r"rejects is one file, and 2 are read \(train, test\)"):
        read.read_each(files)
    assert {"train"} == set(read.read_each({**files, "test": None}))
    apart = ReadOptions(on_error="skip").read_each(files)
    assert {name: len(notes) for name, notes in apart.items()} == {"train": 1, "test": 1}
    assert (tmp_path / "a.csv.rejected.jsonl").exists()
    assert (tmp_path / "b.csv.rejected.jsonl").exists()
