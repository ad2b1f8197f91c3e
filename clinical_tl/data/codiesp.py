"""CodiEsp-style folders: one text file a note, and a table of note ids and codes.

The layout of Miranda-Escalada et al., Overview of automatic clinical coding: annotations,
guidelines, and solutions for non-English clinical cases at CodiEsp track of CLEF eHealth 2020.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from clinical_tl.data.faults import Faults, Place
from clinical_tl.data.streams import decode, numbered_lines
from clinical_tl.errors import NoteError, shown_id, shown_path
from clinical_tl.schema import Note


def read_codiesp(
    folder: Path,
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
            that it doesn't name has no codes (`()`); without a table, codes are `None`.

    Raises:
        NoteError: several tables and no `codes_file`, or a path that is not there.
    """
    codes, lines, broken = _codes(_table(folder, codes_file), faults)
    for path in sorted(_inside(folder, texts).rglob("*.txt"), key=lambda path: path.stem):
        mark = len(faults)
        note_id = path.stem
        lines.pop(note_id, None)
        own = None if codes is None else tuple(codes.get(note_id, ()))
        note = Note(note_id=note_id, text=decode(path.read_bytes()), codes=own)
        place = Place(path.relative_to(folder).as_posix(), note_id=note_id)
        if note_id in broken:
            faults.add(place, "a note with a broken row of codes", "two columns: id, code")
        yield from faults.admitted(note, place, since=mark)
    for note_id, place in lines.items():
        faults.add(place, f"codes for {shown_id(note_id)}, which has no text file", "ids of texts")


def _inside(folder: Path, name: str | None) -> Path:
    path = folder / name if name else folder
    if not path.exists():
        raise NoteError(
            f"{shown_path(folder.name)}: there is no {shown_path(name)!r} in this folder"
        )
    return path


def _table(folder: Path, codes_file: str | None) -> Path | None:
    if codes_file is not None:
        return _inside(folder, codes_file)
    tables = sorted(folder.glob("*.tsv"))
    if len(tables) > 1:
        raise NoteError(
            f"{shown_path(folder.name)}: {len(tables)} tables of codes "
            f"({[shown_path(t.name) for t in tables]}); choose one, e.g. "
            f"codes_file={shown_path(tables[0].name)!r}"
        )
    return tables[0] if tables else None


def _codes(
    table: Path | None, faults: Faults
) -> tuple[dict[str, list[str]] | None, dict[str, Place], set[str]]:
    broken: set[str] = set()
    if table is None:
        return None, {}, broken
    codes: dict[str, list[str]] = {}
    lines: dict[str, Place] = {}
    for number, line in numbered_lines(table):
        if not line.strip():
            continue
        place = Place(table.name, number)
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) != 2 or not all(cells):
            faults.add(place, f"{len(cells)} columns, or a blank one", "two columns: id, code")
            broken.add(cells[0])
            continue
        note_id, code = cells[0], cells[1].upper()
        lines.setdefault(note_id, place)
        if code in codes.setdefault(note_id, []):
            faults.add(place, "a code that the note already has", "every code once a note")
        else:
            codes[note_id].append(code)
    return codes, lines, broken
