"""CodiEsp-style folders: one text file a note, and a table of note ids and codes.

The layout of Miranda-Escalada et al., Overview of automatic clinical coding: annotations,
guidelines, and solutions for non-English clinical cases at CodiEsp track of CLEF eHealth 2020, and
of what is made after it: with or without a header, by tabs, semicolons or commas.

| table | columns |
|---|---|
| `trainD.tsv`, `trainP.tsv` | id, code |
| with kinds | id, `DIAGNOSTICO` or `PROCEDIMIENTO`, code |
| `trainX.tsv` | id, kind, code, the words that say so, their offsets (`10 24;30 36`) |
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath

from clinical_tl.data.formats.cells import Cells, trimmed
from clinical_tl.data.formats.files import File
from clinical_tl.data.formats.folders import Folder
from clinical_tl.data.formats.format import Format
from clinical_tl.data.formats.mention import offset_fault
from clinical_tl.data.formats.problems import Faults, Place
from clinical_tl.data.formats.sight import Sight
from clinical_tl.errors import ConfigError, NoteError, shown_id, shown_ids, shown_path
from clinical_tl.schema import Note, Span

TABLES = (".tsv", ".csv")
DELIMITERS = ("\t", ";", ",")
SEEN_ROWS = 200
KINDS = frozenset(("diagnostico", "procedimiento", "diagnosis", "procedure"))
# Names of the columns that hold ids and codes, without what is neither letter nor digit.
ID_NAMES = frozenset(
    ("articleid", "id", "noteid", "docid", "documentid", "file", "filename", "name", "note")
)
CODE_NAMES = frozenset(("code", "codigo", "icd", "icd10", "icdcode", "icd10code", "cie10"))
_OFFSETS = re.compile(r"\d+ \d+(?:;\d+ \d+)*")
_CODE = re.compile(r"(?=.*[0-9])[A-Za-z0-9.]{2,10}")
_COLUMNS = (
    "rows of as many columns as the first: id, code; id, kind, code; or, beside, words, offsets"
)
_ELSEWHERE = "notes with mentions whose offsets don't fit the text; their codes alone are read"


def read_codiesp(
    folder: Folder,
    faults: Faults,
    *,
    texts: str | None = None,
    codes_file: str | None = None,
    kinds: str | Sequence[str] | None = None,
) -> Iterator[Note]:
    """Yields a note for every `*.txt` at or under the folder, in the order of their names.

    Args:
        folder: what holds texts and table.
        faults: where what is wrong goes.
        texts: the folder of texts within `folder`, needed only where there are several
            (`text_files`, `text_files_en`).
        codes_file: the table within `folder`, needed only where there are several. Codes are
            upper-cased. A text that it doesn't name has no codes (`()`); without a table, or with
            `NA` in it, codes are `None`. Where it has words and offsets, and these fit the text,
            mentions become spans with the kind as label and the code as concept.
        kinds: which rows to read, where they have a kind: `"DIAGNOSTICO"`, `"PROCEDIMIENTO"`.

    Raises:
        NoteError: several tables and no `codes_file`, or a path that is not there.
        ConfigError: `kinds` of a table that has none.
    """
    files = folder.files(faults)
    within = "" if texts is None else f"{texts.rstrip('/')}/"
    own = [file for file in files if file.name.startswith(within)]
    if not own:
        raise _absent(folder, within)
    notes = {file: PurePosixPath(file.name) for file in own if file.name.lower().endswith(".txt")}
    stems = {name.stem for name in notes.values()}
    chosen = _table(folder, files, codes_file)
    table = _read(chosen, stems, kinds, faults)
    for file, name in sorted(notes.items(), key=lambda item: item[1].stem):
        place = Place(file.name, note_id=name.stem)
        yield from faults.reading(partial(_note, file, folder, table, place, faults), place)
    for note_id, place in (table.lines if table else {}).items():
        faults.add(place, f"codes for {shown_id(note_id)}, which has no text file", "ids of texts")


@dataclass(frozen=True)
class _Shape:
    """What the columns of a table hold: the positions of id, code, kind, words and offsets."""

    delimiter: str
    width: int
    has_header: bool
    code: int
    kind: int | None = None
    words: int | None = None
    offsets: int | None = None

    @classmethod
    def of(cls, lines: Sequence[str], ids: Collection[str]) -> _Shape | None:
        """The shape of a table by its first lines; `None` if its rows name none of the ids."""
        best: list[list[str]] = []
        delimiter, most = DELIMITERS[0], 0
        for mark in DELIMITERS:
            rows = [_cells(line, mark) for line in lines if line.strip()]
            named = sum(len(row) > 1 and _id(row[0]) in ids for row in rows)
            if named > most:
                best, delimiter, most = rows, mark, named
        if not best:
            return None
        first = best[0]
        below = [row for row in best[1:] if len(row) == len(first)]
        has_header = _id(first[0]) not in ids and (
            _plain(first[0]) in ID_NAMES or bool(CODE_NAMES.intersection(map(_plain, first[1:])))
        )
        rows = below if has_header else [first, *below]
        if not 2 <= len(first) <= 5 or not rows:
            return None
        columns: list[Sequence[str]] = [[row[i] for row in rows] for i in range(len(first))]
        kind = next((i for i in range(1, len(first)) if _share(columns[i], _is_kind) == 1), None)
        offsets = next(
            (i for i in range(1, len(first)) if _share(columns[i], _is_offsets) > 0.9), None
        )
        left = [i for i in range(1, len(first)) if i not in (kind, offsets)]
        named_code = (i for i in left if has_header and _plain(first[i]) in CODE_NAMES)
        code = next(named_code, left[0] if left else 1)
        words = next((i for i in left if i != code), None)
        return cls(delimiter, len(first), has_header, code, kind, words, offsets)


@dataclass
class _Mention:
    kind: str
    code: str
    words: str
    pieces: tuple[tuple[int, int], ...]

    def span(self, text: str) -> Span | None:
        """The mention in the text; `None` if it isn't there."""
        if offset_fault(self.pieces, len(text)):
            return None
        found = " ".join(text[start:end] for start, end in self.pieces)
        if found.casefold().split() != self.words.casefold().split():
            return None
        pieces = tuple(sorted(self.pieces))
        return Span(
            pieces[0][0],
            pieces[-1][1],
            self.kind,
            concepts=(self.code,),
            fragments=pieces if len(pieces) > 1 else (),
        )


@dataclass
class _Codes:
    """A table of codes: by note id, the first line of each note, notes with a faulty row."""

    has_mentions: bool = False
    codes: dict[str, dict[str, None] | None] = field(default_factory=dict)
    mentions: dict[str, list[_Mention]] = field(default_factory=dict)
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
            faults.add(place, "a note with a broken row of codes", _COLUMNS)
    text = folder.text_of(file, place, faults)
    if text is None:
        return None
    spans = _spans(text, table.mentions.get(note_id, []), faults) if table else None
    return Note(note_id, text, codes=codes, spans=spans if table and table.has_mentions else None)


def _spans(text: str, mentions: Sequence[_Mention], faults: Faults) -> tuple[Span, ...] | None:
    spans = [span for mention in mentions if (span := mention.span(text)) is not None]
    if len(spans) < len(mentions):
        faults.doubtful[_ELSEWHERE] += 1
        return None
    return tuple(spans)


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
    tables = [file for file in files if _is_table(file.name)]
    if len(tables) > 1:
        raise NoteError(
            f"{shown_path(folder.name)}: {len(tables)} tables of codes "
            f"({[shown_path(t.name) for t in tables]}); choose one, e.g. "
            f"codes_file={shown_path(tables[0].name)!r}"
        )
    return tables[0] if tables else None


def _is_table(name: str) -> bool:
    return "/" not in name and name.lower().endswith(TABLES)


def _read(
    file: File | None, ids: Collection[str], kinds: str | Sequence[str] | None, faults: Faults
) -> _Codes | None:
    if file is None:
        return None
    wanted = None if kinds is None else {kinds} if isinstance(kinds, str) else set(kinds)
    start = [line for _, line in zip(range(SEEN_ROWS), _lines(file), strict=False)]
    shape = _Shape.of(start, ids) or _Shape("\t", 2, has_header=False, code=1)
    if wanted is not None and shape.kind is None:
        raise ConfigError(
            f"{shown_path(file.name)}: kinds is for tables with a column of kinds "
            f"({', '.join(sorted(KINDS))}), which this one lacks"
        )
    table = _Codes(has_mentions=shape.words is not None and shape.offsets is not None)
    is_first, seen = shape.has_header, set[str]()
    for number, line in file.lines():
        if not line.strip():
            continue
        if is_first:
            is_first = False
            continue
        place = Place(file.name, number)
        row = _cells(line, shape.delimiter)
        if len(row) != shape.width or not (row[0] and row[shape.code]):
            faults.add(place, f"{len(row)} columns, or a blank one", _COLUMNS)
            table.broken.add(_id(row[0]))
            continue
        seen.add(row[shape.kind or 0])
        if wanted is None or row[shape.kind or 0] in wanted:
            _add_row(row, shape, table, place, faults)
        else:
            table.codes.setdefault(_id(row[0]), {})
    if wanted is not None and not wanted <= seen:
        raise ConfigError(
            f"{shown_path(file.name)}: kinds={shown_ids(sorted(wanted), 'kind')}; allowed: those "
            f"of the table, {shown_ids(sorted(seen), 'kind')}"
        )
    return table


def _add_row(row: list[str], shape: _Shape, table: _Codes, place: Place, faults: Faults) -> None:
    mark = len(faults)
    cells = Cells(place, faults)
    note_id, codes = cells.name(_id(row[0]), "note_id"), cells.codes(row[shape.code], ";")
    if note_id is None or len(faults) > mark:
        if len(faults) == mark:
            faults.add(place, "a row without an id", _COLUMNS)
        table.broken.add(note_id or row[0])
        return
    table.lines.setdefault(note_id, place)
    if codes is None:
        table.codes.setdefault(note_id, None)
        return
    known = table.codes.get(note_id) or {}
    table.codes[note_id] = known
    for code in map(str.upper, codes):
        # A code is said as often as words say it.
        if code in known and shape.words is None:
            faults.add(place, "a code that the note already has", "every code once a note")
        known[code] = None
        if shape.words is not None and shape.offsets is not None:
            pieces = row[shape.offsets].split(";")
            if not all(map(_is_offsets, pieces)):
                faults.add(place, "offsets that are none", "pairs of numbers, ';' between pairs")
                table.broken.add(note_id)
                return
            numbers = [tuple(map(int, piece.split())) for piece in pieces]
            kind = "code" if shape.kind is None else row[shape.kind]
            table.mentions.setdefault(note_id, []).append(
                _Mention(kind, code, row[shape.words], tuple((n[0], n[1]) for n in numbers))
            )


def _lines(file: File) -> Iterator[str]:
    return (line for _, line in file.lines())


def _cells(line: str, delimiter: str) -> list[str]:
    if delimiter == "\t":
        return [trimmed(cell) for cell in line.split("\t")]
    return [trimmed(cell) for cell in next(csv.reader([line], delimiter=delimiter), [])]


def _id(cell: str) -> str:
    return cell[: -len(".txt")] if cell.lower().endswith(".txt") else cell


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


def _share(cells: Sequence[str], is_one: Callable[[str], bool]) -> float:
    return sum(map(is_one, cells)) / len(cells)


def _is_kind(cell: str) -> bool:
    return cell.casefold() in KINDS


def _is_offsets(cell: str) -> bool:
    return _OFFSETS.fullmatch(cell) is not None


def _is_code(cell: str) -> bool:
    return _CODE.fullmatch(cell) is not None


def _looks(sight: Sight) -> bool:
    """Texts and exactly one table whose rows are ids of texts and codes."""
    names = [PurePosixPath(name) for name in sight.names]
    tables = [file for file in sight.files if _is_table(file.name)]
    ids = {name.stem for name in names if name.suffix.lower() == ".txt"}
    if len(tables) != 1 or not ids:
        return False
    start = Sight.of(tables[0]).text.split("\n")[:SEEN_ROWS]
    shape = _Shape.of(start, ids)
    if shape is None:
        return False
    rows = [row for line in start if len(row := _cells(line, shape.delimiter)) == shape.width]
    if shape.has_header:
        header = rows.pop(0)
        # A table with a row a text may have such cells, too: that is `labelled_texts`.
        is_known = shape.width == 2 or shape.kind is not None or shape.offsets is not None
        if not is_known or _plain(header[shape.code]) not in CODE_NAMES:
            return False
    of_texts = _share([_id(row[0]) for row in rows], ids.__contains__)
    return of_texts > 0.9 and _share([row[shape.code] for row in rows], _is_code) > 0.9


CODIESP = Format(
    "codiesp",
    "CodiEsp: texts and a table of codes",
    read_codiesp,
    is_folder=True,
    looks=_looks,
)
