"""`read_codes`: a table of codes, what they mean and what stands above them."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from clinical_tl.data.codes.code_system import CodeSystem
from clinical_tl.data.formats.files import File
from clinical_tl.data.formats.problems import NO_UNICODE, conversion, is_encodable
from clinical_tl.errors import ConfigError, Fault, FaultyNotesError, NoteError, refusing, shown_path
from clinical_tl.storage.paths import as_path

COLUMNS = ("code", "description", "parent")
DELIMITERS = "\t,;|"
_FORM = (
    "a TSV or CSV file with the header code, description, parent (the last two as you have them)"
)


@dataclass(frozen=True)
class CodeTable:
    """What a file says of codes, each in its one spelling.

    `titles`: code → description. `tops`: code → what stands above all others above it, itself
    where nothing does; empty where the file has no parents. Chapters and blocks may have names
    that are no codes.
    """

    titles: Mapping[str, str]
    tops: Mapping[str, str]


NO_TABLE = CodeTable(MappingProxyType({}), MappingProxyType({}))


def read_codes(path: str | os.PathLike[str], system: CodeSystem) -> CodeTable:
    """The table in a file with the columns `code`, and `description` and `parent` if it has them.

    Rows whose code the system does not have (chapters, blocks) are kept as they are.

    Raises:
        ConfigError: no such file, no column `code`, or no row with a code of the system.
        NoteError: rows with too many cells, without a code, with another description or parent
            than an earlier row, undecodable ones, or parents that stand above themselves.
    """
    file, name = File.at(as_path(path)), shown_path(path)
    if not file.path.is_file():
        raise ConfigError(f"codes={name!r} is no file; give {_FORM}")
    rows: dict[str, tuple[str, str]] = {}
    faults: list[Fault] = []
    codes = 0
    with (
        refusing(ConfigError, f"codes={name!r} can't be read", f"give {_FORM}"),
        file.text() as lines,
    ):
        first = lines.readline()
        delimiter = _delimiter(first, name)
        header = [cell.strip().lower() for cell in next(csv.reader([first], delimiter=delimiter))]
        table = csv.reader(lines, delimiter=delimiter)
        for cells in filter(any, table):
            found, why = _row(header, cells)
            if why is None:
                spelt, is_code = _spelt(found[0], system)
                codes += is_code
                row = found[1], _spelt(found[2], system)[0] if found[2] else ""
                if rows.setdefault(spelt, row) != row:
                    why = "a code that an earlier row says something else of", "one row a code"
            if why is not None:
                faults.append(Fault(f"{file.name}:{table.line_num + 1}", *why))
    if faults:
        raise FaultyNotesError(name, faults, f"correct the table of codes: {_FORM}")
    if not codes:
        raise ConfigError(
            f"codes={name!r}: none of its {len(rows)} rows is a code of "
            f"{system.title or system.name}; allowed: {system.shape}. Look "
            f"at the column 'code', and at code_system={system.name!r}"
        )
    titles = {code: title for code, (title, _) in rows.items() if title}
    parents = {code: parent for code, (_, parent) in rows.items() if parent}
    return CodeTable(titles, _tops(rows, parents, name) if parents else {})


def _delimiter(first: str, name: str) -> str:
    for mark in DELIMITERS:
        if "code" in (
            cell.strip().lower() for cell in next(csv.reader([first], delimiter=mark), [])
        ):
            return mark
    raise ConfigError(f"codes={name!r}: its header has no column 'code'; give {_FORM}")


def _row(
    header: Sequence[str], cells: Sequence[str]
) -> tuple[tuple[str, str, str], tuple[str, str] | None]:
    named = dict(zip(header, (cell.strip() for cell in cells), strict=False))
    code, title, parent = (named.get(column, "") for column in COLUMNS)
    why = None
    if len(cells) > len(header):
        why = f"{len(cells)} cells", f"{len(header)} at most, as in the header"
    elif not code:
        why = "no code", "a code in each row"
    elif not is_encodable("".join(cells)):
        why = NO_UNICODE, conversion("".join(cells))
    return (code, title, parent), why


def _spelt(code: str, system: CodeSystem) -> tuple[str, bool]:
    try:
        return system.normalise(code), True
    except NoteError:
        return code, False


def _tops(codes: Mapping[str, object], parents: Mapping[str, str], name: str) -> dict[str, str]:
    tops: dict[str, str] = {}
    for code in (*codes, *parents.values()):
        above = [code]
        while above[-1] in parents and above[-1] not in tops:
            if parents[above[-1]] in above:
                raise NoteError(
                    f"{name}: {len(above)} codes stand above themselves; allowed: parents that "
                    "lead up to a code without one"
                )
            above.append(parents[above[-1]])
        tops.update(dict.fromkeys(above, tops.get(above[-1], above[-1])))
    return tops
