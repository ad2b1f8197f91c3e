"""Folders of texts, one `.txt` a note: alone, in a folder a class, or with a table that names them.

`texts` are not annotated. `class_folders` have their label from the folder that they lie in
(`pos/1.txt`, `neg/2.txt`). `labelled_texts` lie beside a table with a row a text, whose columns
hold everything but the text. A note's id is its file's path within the folder, without `.txt`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import PurePosixPath

from clinical_tl.data.formats.cells import trimmed
from clinical_tl.data.formats.columns import Layout
from clinical_tl.data.formats.files import File
from clinical_tl.data.formats.folders import Folder
from clinical_tl.data.formats.format import Format
from clinical_tl.data.formats.json_records import read_json_records
from clinical_tl.data.formats.packing import UNPACKERS
from clinical_tl.data.formats.problems import Faults, Place, UnreadableError
from clinical_tl.data.formats.sight import Sight
from clinical_tl.data.formats.spreadsheets import EXCEL, read_sheet
from clinical_tl.data.formats.table_rows import TableRows
from clinical_tl.data.formats.tables import read_delimited
from clinical_tl.errors import ConfigError, NoteError, shown_id, shown_ids, shown_path
from clinical_tl.schema import Note

TEXT = ".txt"
DELIMITED, JSON = (".csv", ".tsv"), (".jsonl", ".ndjson")
TABLES = (*DELIMITED, *EXCEL.endings, *JSON)
SEEN_ROWS = 50
SPLITS = frozenset(("train", "dev", "test", "val", "valid", "validation", "eval"))
# What the column that names texts is called, the likeliest first.
FILE_COLUMNS = ("file", "filename", "file_name", "path", "note_id")
# What no column is called.
_TEXT_COLUMN, _ID_COLUMN = "<text of the file>", "<name of the file>"
_OTHERS = "files that are no .txt"
_UNNAMED = "texts that the table doesn't name, read as not annotated"


def read_texts(folder: Folder, faults: Faults) -> Iterator[Note]:
    """Yields a note for every `*.txt` at or under the folder, not annotated.

    Args:
        folder: what holds the texts. Other files are passed over and counted.
        faults: where what is wrong goes.
    """
    for file in _texts(folder, faults):
        place = Place(file.name, note_id=_id(file))
        yield from faults.reading(partial(_note, file, folder, None, place, faults), place)


def read_class_folders(folder: Folder, faults: Faults) -> Iterator[Note]:
    """Yields a note for every text, with the name of its folder within `folder` as label.

    Args:
        folder: what holds a folder a class. A text beside these is a fault; other files are
            passed over and counted.
        faults: where what is wrong goes.

    Raises:
        ConfigError: folders whose names are those of splits, not of classes.
    """
    texts = _texts(folder, faults)
    labels = {file: PurePosixPath(file.name).parts[0] for file in texts if "/" in file.name}
    splits = {label.lower() for label in labels.values()}
    if splits and splits <= SPLITS:
        raise ConfigError(
            f"{shown_path(folder.name)}: folders called {', '.join(sorted(splits))}, which are "
            "splits and no classes; read each by itself"
        )
    for file in texts:
        place = Place(file.name, note_id=_id(file))
        label = labels.get(file, "")
        yield from faults.reading(partial(_note, file, folder, label, place, faults), place)


def read_labelled_texts(
    folder: Folder,
    faults: Faults,
    *,
    layout: Layout,
    labels_file: str | None = None,
    file_column: str | None = None,
    delimiter: str | None = None,
    sheet: str | int | None = None,
) -> Iterator[Note]:
    """Yields a note for every row of the table, its text from the file that the row names.

    Texts that no row names follow, not annotated; they are counted.

    Args:
        folder: what holds texts, at any depth, and the table.
        faults: where what is wrong goes. A row that names no text is one.
        layout: which column holds which field. `note_id` is the text's name unless the table has
            such a column.
        labels_file: the table within `folder` (CSV, TSV, a spreadsheet or JSON lines), needed only
            where there are several.
        file_column: the column that names the text, by its path or name, with or without
            `.txt`; by default the one called `file`, `filename`, `file_name`, `path` or `note_id`
            whose cell does, else the only one whose cells do.
        delimiter: of a CSV, as in `csv`.
        sheet: of a spreadsheet, as in `excel`.

    Raises:
        NoteError: no table, or several and no `labels_file`.
        ConfigError: a table without a header, or one whose columns name different texts.
    """
    texts = _Texts(folder, faults, file_column)
    table = _table(folder, labels_file, texts.others)
    folder.check_member(table)
    columns = {**layout.columns, "text": _TEXT_COLUMN}
    columns.setdefault("note_id", _ID_COLUMN)
    layout = replace(layout, columns=columns)
    rows = TableRows(layout, texts.translate, (_TEXT_COLUMN, _ID_COLUMN))
    name = table.inner_name
    if name.endswith(JSON):
        yield from read_json_records(table, faults, layout, expand=texts.expand)
    elif name.endswith(EXCEL.endings):
        yield from read_sheet(table, faults, rows, sheet)
    else:
        tried = "\t,;|" if name.endswith(".tsv") else ",;\t|"
        yield from read_delimited(table, faults, rows, tried, delimiter)
    for file in texts.left():
        place = Place(file.name, note_id=_id(file))
        yield from faults.reading(partial(_note, file, folder, None, place, faults), place)


class _Names:
    """Finds texts by what names them: path or name, with or without ending."""

    def __init__(self, names: Iterable[str]) -> None:
        self._found: dict[str, str | None] = {}
        for name in names:
            path = PurePosixPath(name)
            for key in {name, name[: -len(TEXT)], path.name, path.name[: -len(TEXT)]}:
                # Two texts of one name are told apart by their paths alone.
                self._found[key] = None if key in self._found else name

    def __call__(self, cell: object) -> str | None:
        """The path of the text that a cell names; `None` if it names none, or several."""
        if isinstance(cell, float) and cell.is_integer():
            cell = int(cell)
        if not isinstance(cell, str | int) or isinstance(cell, bool):
            return None
        key = trimmed(str(cell)).replace("\\", "/").removeprefix("./")
        return self._found.get(key) or self._found.get(key.removesuffix(".0"))


@dataclass
class _Texts:
    """The texts of a folder, and which of them have been named."""

    folder: Folder
    faults: Faults
    column: str | None
    files: dict[str, File] = field(default_factory=dict)
    others: list[File] = field(default_factory=list)
    named: set[str] = field(default_factory=set)
    is_guessed: bool = False

    def __post_init__(self) -> None:
        for file in self.folder.files(self.faults):
            if _is_text(file.name):
                self.files[file.name] = file
            else:
                self.others.append(file)
        self.find = _Names(self.files)

    def expand(self, value: object) -> list[object]:
        """The one record of a JSON value, as `translate` makes it."""
        return [self.translate(value) if isinstance(value, Mapping) else value]

    def translate(self, row: Mapping[str, object]) -> Mapping[str, object]:
        """The row with the text that it names."""
        if any(self.find(column) for column in row):
            raise ConfigError(
                f"{shown_path(self.folder.name)}: the table has no header, its first row names a "
                "text; add one, e.g. file,label, or say format='codiesp' of rows of id and code"
            )
        if self.column is not None and self.column not in row:
            raise UnreadableError(
                f"no column {shown_id(self.column, 'column')!r}", "the column that names texts"
            )
        column = self._column(row)
        if column is None:
            raise UnreadableError(
                "a row that names no text of the folder, or several",
                "a text's name or path, with or without .txt; file_column='<column>' says where "
                "it stands",
            )
        name = self.find(row[column]) or ""
        self.named.add(name)
        file = self.files[name]
        self.folder.check_member(file)
        own = None if column == "note_id" else row.get("note_id")
        return {**row, _TEXT_COLUMN: file.read_text(), _ID_COLUMN: own or _id(file)}

    def _column(self, row: Mapping[str, object]) -> str | None:
        """The column that names the text; the first row with one tells it for all."""
        if self.column is not None and not self.is_guessed:
            return self.column if self.find(row[self.column]) else None
        found = {name: text for name in row if (text := self.find(row[name]))}
        if self.column is None:
            called = [name for known in FILE_COLUMNS for name in found if name.lower() == known]
            self.column = next(iter([*called, *found]), None)
            self.is_guessed = not called
        # A number may name a text by chance: two columns that disagree can't be told apart.
        if self.is_guessed and len(set(found.values())) > 1:
            raise ConfigError(
                f"{shown_path(self.folder.name)}: the columns {shown_ids(list(found), 'column')} "
                "of the table name different texts; say which to go by: file_column='<column>'"
            )
        return self.column if self.column in found else None

    def left(self) -> list[File]:
        """The texts that no row has named."""
        left = [file for name, file in self.files.items() if name not in self.named]
        self.faults.doubtful.update({_UNNAMED: len(left)} if left else {})
        return left


def _texts(folder: Folder, faults: Faults) -> list[File]:
    files = folder.files(faults)
    texts = [file for file in files if _is_text(file.name)]
    if len(texts) < len(files):
        faults.passed_over[_OTHERS] += len(files) - len(texts)
    return texts


def _note(
    file: File, folder: Folder, label: str | None, place: Place, faults: Faults
) -> Note | None:
    if label == "":
        faults.add(place, "a text that lies in no class's folder", "<class>/<name>.txt")
        return None
    text = folder.text_of(file, place, faults)
    return None if text is None else Note(_id(file), text, label=label)


def _is_text(name: str) -> bool:
    return name.lower().endswith(TEXT)


def _id(file: File) -> str:
    return file.name[: -len(TEXT)]


def _is_table(name: str) -> bool:
    packed = next((end for end in UNPACKERS if name.lower().endswith(end)), "")
    return name.lower().removesuffix(packed).endswith(TABLES)


def _table(folder: Folder, labels_file: str | None, others: Sequence[File]) -> File:
    tables = [file for file in others if _is_table(file.name)]
    if labels_file is not None:
        tables = [file for file in others if file.name == labels_file]
    if len(tables) == 1:
        return tables[0]
    shown = [shown_path(file.name) for file in others if _is_table(file.name)]
    raise NoteError(
        f"{shown_path(folder.name)}: {len(tables)} tables to take labels from; say which: "
        f"labels_file=…, one of {shown or 'CSV, TSV, a spreadsheet or JSON lines'}"
    )


def _looks(sight: Sight) -> bool:
    """Texts and exactly one table, of which a column names texts."""
    tables = [file for file in sight.files if _is_table(file.name)]
    find = _Names(name for name in sight.names if _is_text(name))
    if len(tables) != 1 or not any(map(_is_text, sight.names)):
        return False
    start = Sight.of(tables[0])
    if start.name.endswith(JSON):
        return any(find(value) for value in start.record.values())
    if not start.name.endswith(DELIMITED):
        return False
    return any(_names_texts(start.text, mark, find) for mark in ",;\t|")


def _names_texts(text: str, delimiter: str, find: _Names) -> bool:
    lines = text.splitlines()[: SEEN_ROWS + 1]
    try:
        header, *rows = csv.reader(lines, delimiter=delimiter)
    except (csv.Error, ValueError):
        return False
    rows = [row for row in rows if len(row) == len(header)]
    if not rows or any(map(find, header)):
        return False
    return any(all(find(row[i]) for row in rows) for i in range(len(header)))


TEXTS = Format("texts", "texts, a file a note", read_texts, is_folder=True)
CLASS_FOLDERS = Format(
    "class_folders", "texts in a folder a class", read_class_folders, is_folder=True
)
LABELLED_TEXTS = Format(
    "labelled_texts",
    "texts and a table that names them",
    read_labelled_texts,
    is_folder=True,
    looks=_looks,
)
