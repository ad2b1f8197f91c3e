"""CodiEsp-style folders: one text file a note, and a table of note ids and codes.

The layout of Miranda-Escalada et al., Overview of automatic clinical coding: annotations,
guidelines, and solutions for non-English clinical cases at CodiEsp track of CLEF eHealth 2020.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath

from clinical_tl.data.formats.cells import Cells, trimmed
from clinical_tl.data.formats.files import File
from clinical_tl.data.formats.folders import Folder
from clinical_tl.data.formats.format import Format
from clinical_tl.data.formats.problems import Faults, Place
from clinical_tl.errors import NoteError, shown_id, shown_path
from clinical_tl.schema import Note


def read_codiesp(
    folder: Folder,
    faults: Faults,
    *,
    texts: str | None = None,
    codes_file: str | None = None,
) -> Iterator[Note]:
    """Yields a note for every `*.txt` at or under the folder, in the order of their names.

    Args:
        folder: what holds texts and table.
        faults: where what is wrong goes.
        texts: the folder of texts within `folder`, needed only where there are several
            (`text_files`, `text_files_en`).
        codes_file: the table within `folder`, needed only where there are several. It has two
            columns (id, code), tab-separated, without a header; codes are upper-cased. A text
            that it doesn't name has no codes (`()`); without a table, or with `NA` in it, codes
            are `None`.

    Raises:
        NoteError: several tables and no `codes_file`, or a path that is not there.
    """
    files = folder.files(faults)
    table = _codes(_table(folder, files, codes_file), faults)
    within = "" if texts is None else f"{texts.rstrip('/')}/"
    own = [file for file in files if file.name.startswith(within)]
    if not own:
        raise _absent(folder, within)
    notes = {file: PurePosixPath(file.name) for file in own if file.name.lower().endswith(".txt")}
    for file, name in sorted(notes.items(), key=lambda item: item[1].stem):
        place = Place(file.name, note_id=name.stem)
        yield from faults.reading(partial(_note, file, folder, table, place, faults), place)
    for note_id, place in (table.lines if table else {}).items():
        faults.add(place, f"codes for {shown_id(note_id)}, which has no text file", "ids of texts")


@dataclass
class _Codes:
    """A table of codes: by note id, the first line of each note, notes with a faulty row."""

    codes: dict[str, dict[str, None] | None] = field(default_factory=dict)
    lines: dict[str, Place] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)


def _note(
    file: File, folder: Folder, table: _Codes | None, place: Place, faults: Faults
) -> Note | None:
    note_id = place.note_id or ""
    codes: tuple[str, ...] | None = None
    if table is not None:
        table.lines.pop(note_id, None)
        own = table.codes.get(note_id, {})
        codes = None if own is None else tuple(own)
        if note_id in table.broken:
            faults.add(place, "a note with a broken row of codes", "two columns: id, code")
    text = folder.text_of(file, place, faults)
    return None if text is None else Note(note_id, text, codes=codes)


def _absent(folder: Folder, name: str) -> NoteError:
    return NoteError(
        f"{shown_path(folder.name)}: there is no {shown_path(name.rstrip('/'))!r} in this folder"
    )


def _table(folder: Folder, files: Sequence[File], codes_file: str | None) -> File | None:
    if codes_file is not None:
        for file in files:
            if file.name == codes_file:
                return file
        raise _absent(folder, codes_file)
    tables = [f for f in files if "/" not in f.name and f.name.lower().endswith(".tsv")]
    if len(tables) > 1:
        raise NoteError(
            f"{shown_path(folder.name)}: {len(tables)} tables of codes "
            f"({[shown_path(t.name) for t in tables]}); choose one, e.g. "
            f"codes_file={shown_path(tables[0].name)!r}"
        )
    return tables[0] if tables else None


def _codes(file: File | None, faults: Faults) -> _Codes | None:
    if file is None:
        return None
    table = _Codes()
    for number, line in file.lines():
        if not line.strip():
            continue
        place = Place(file.name, number)
        row = [trimmed(cell) for cell in line.split("\t")]
        if len(row) != 2 or not all(row):
            faults.add(place, f"{len(row)} columns, or a blank one", "two columns: id, code")
            table.broken.add(row[0])
            continue
        mark = len(faults)
        cells = Cells(place, faults)
        note_id, codes = cells.name(row[0], "note_id"), cells.codes(row[1], ";")
        if note_id is None or len(faults) > mark:
            if len(faults) == mark:
                faults.add(place, "a row without an id", "two columns: id, code")
            table.broken.add(note_id or row[0])
            continue
        table.lines.setdefault(note_id, place)
        if codes is None:
            table.codes.setdefault(note_id, None)
            continue
        known = table.codes.get(note_id) or {}
        table.codes[note_id] = known
        for code in map(str.upper, codes):
            if code in known:
                faults.add(place, "a code that the note already has", "every code once a note")
            known[code] = None
    return table


CODIESP = Format("codiesp", "CodiEsp: texts and a table of codes", read_codiesp, is_folder=True)
