"""MIMIC-III and MIMIC-IV: notes in one table, the codes of admissions in others.

MIMIC-III (Johnson et al. 2016, a freely accessible critical care database) has `NOTEEVENTS` and
`DIAGNOSES_ICD`. MIMIC-IV has `discharge` and `radiology` of MIMIC-IV-Note, and `diagnoses_icd`
among the tables of the hospital (Johnson et al. 2023). They are joined by the admission, `hadm_id`.
Codes stand in them without their dots.
"""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import PurePosixPath

from clinical_tl.data.formats.cells import MISSING, trimmed
from clinical_tl.data.formats.columns import Layout
from clinical_tl.data.formats.files import File
from clinical_tl.data.formats.folders import Folder
from clinical_tl.data.formats.format import Format
from clinical_tl.data.formats.problems import Faults, Place, UnreadableError
from clinical_tl.data.formats.sight import Sight
from clinical_tl.data.formats.table_rows import TableRows
from clinical_tl.data.formats.tables import read_delimited
from clinical_tl.errors import ConfigError, NoteError, shown_path, shown_value
from clinical_tl.schema import Note

MIMIC3_NOTES, MIMIC4_NOTES = "noteevents", ("discharge", "radiology")
DIAGNOSES, PROCEDURES = "diagnoses_icd", "procedures_icd"
DISCHARGE_SUMMARY = "Discharge summary"
ALL = "all"
VERSIONS = (9, 10)
# No admission has so many diagnoses.
AFTER_DIAGNOSES = 100
# MIMIC-IV-Note's table of each category as MIMIC-III calls them.
CATEGORIES = {DISCHARGE_SUMMARY: "discharge", "Radiology": "radiology"}

_MIMIC3 = ("row_id", "subject_id", "hadm_id", "category", "iserror", "text")
_MIMIC4 = ("note_id", "subject_id", "hadm_id", "note_type", "note_seq", "charttime", "text")
_ENDING = re.compile(r"\.csv(?:\.(?:gz|bz2|xz|zst))?")
_MARKED = "notes that are marked as errors (ISERROR)"
_OTHER_CATEGORY = "notes of other categories"
_NO_ADMISSION = "of hadm_id: codes not annotated"
_UNCODED = "of admissions without a code: codes not annotated"
_NO_CODE = "rows of codes without a code"


def read_mimic_notes(
    file: File, faults: Faults, *, layout: Layout, category: str | Sequence[str] = ALL
) -> Iterator[Note]:
    """Yields the notes of one table, without codes.

    Args:
        file: `NOTEEVENTS` of MIMIC-III, `discharge` or `radiology` of MIMIC-IV-Note.
        faults: where what is wrong goes. Notes that MIMIC-III marks as errors are passed over.
        layout: other columns for the fields. Without it `note_id` is that of MIMIC-IV-Note or
            the `ROW_ID` of MIMIC-III, `patient_id` the `subject_id`.
        category: which of MIMIC-III's categories to keep, e.g. `"Nursing"`, or several; `"all"`
            by default.
    """
    yield from _notes(file, faults, layout, _kept(category), None)


def read_mimic(
    folder: Folder,
    faults: Faults,
    *,
    layout: Layout,
    icd_version: int | None = None,
    category: str | Sequence[str] = DISCHARGE_SUMMARY,
    procedures: bool = False,
) -> Iterator[Note]:
    """Yields every note with the codes of its admission, in the order of the table of notes.

    Notes are read one by one, codes are held. A note whose admission has no code (of this
    version) is not annotated: `codes` are `None`, as are those of notes without an admission. Both
    are counted in the log.

    Args:
        folder: what holds the tables, at any depth, their names in any case, packed or not.
        faults: where what is wrong goes. Notes that MIMIC-III marks as errors, and those of other
            categories, are passed over.
        layout: other columns for the fields than those of `read_mimic_notes`.
        icd_version: 9 or 10, needed where the codes are of both.
        category: which notes to keep, as MIMIC-III calls them, or several, or `"all"`. Of
            MIMIC-IV-Note there are `"Discharge summary"` and `"Radiology"`.
        procedures: whether the codes of procedures are added to those of diagnoses.

    Raises:
        NoteError: no table of notes or of codes, or two of one name.
        ConfigError: codes of both versions and no `icd_version`, or one that isn't there.
    """
    if icd_version not in (None, *VERSIONS):
        raise ConfigError(f"icd_version={shown_value(icd_version)}; allowed: 9, 10")
    kept = _kept(category)
    tables = _tables(folder, folder.files(faults))
    if DIAGNOSES not in tables:
        raise _absent(folder, DIAGNOSES)
    named = [DIAGNOSES, *([PROCEDURES] if procedures else [])]
    codes = _Codes(icd_version)
    for name in named:
        if name not in tables:
            raise _absent(folder, name)
        folder.check_member(tables[name])
        codes.read(tables[name], faults, are_procedures=name == PROCEDURES)
    codes.choose(folder, icd_version)
    if MIMIC3_NOTES in tables:
        sources = [tables[MIMIC3_NOTES]]
    else:
        wanted = MIMIC4_NOTES if kept is None else [CATEGORIES.get(name, "") for name in kept]
        sources = [tables[name] for name in wanted if name in tables]
        kept = None
    if not sources:
        raise _absent(folder, f"{MIMIC3_NOTES}, or {' and '.join(MIMIC4_NOTES)}, of the category")
    for file in sources:
        folder.check_member(file)
        yield from _notes(file, faults, layout, kept, codes)


@dataclass
class _Codes:
    """The codes of admissions, by the version of ICD: hadm_id → rank, code, rank, code, and so on.

    There are millions, so that ranks and codes stand in one list without a tuple for each.
    `broken` are admissions of which a row can't be read.
    """

    asked: int | None
    version: int | None = None
    by_version: dict[int, dict[str, list[int | str]]] = field(
        default_factory=lambda: {version: defaultdict(list) for version in VERSIONS}
    )
    rows: Counter[int] = field(default_factory=Counter)
    broken: set[str] = field(default_factory=set)

    def read(self, file: File, faults: Faults, *, are_procedures: bool) -> None:
        """Adds the codes of a table."""
        dotted: dict[tuple[str, int], str] = {}
        for place, row in _rows(file, faults, ("hadm_id", "seq_num"), self.broken):
            code, admission = row.get("icd_code", row.get("icd9_code", "")), row["hadm_id"]
            version = int(row["icd_version"]) if row.get("icd_version") in ("9", "10") else 9
            if "icd_version" in row and row["icd_version"] not in ("9", "10"):
                faults.add(place, "an icd_version that is neither 9 nor 10", "9 or 10")
                self.broken.add(admission)
                continue
            if not code or not admission:
                faults.passed_over[_NO_CODE] += 1
                continue
            self.rows[version] += 1
            if self.asked not in (None, version):
                continue
            key = (code, version)
            if key not in dotted:
                dotted[key] = with_dot(code, version, is_procedure=are_procedures)
            rank = int(row["seq_num"]) if row["seq_num"].isdigit() else 0
            rank += AFTER_DIAGNOSES * are_procedures
            self.by_version[version][admission] += (rank, dotted[key])

    def choose(self, folder: Folder, version: int | None) -> None:
        """Settles which version is read."""
        counts = {found: n for found, n in sorted(self.rows.items()) if n}
        said = ", ".join(f"{n:,} of ICD-{found}" for found, n in counts.items()) or "none"
        if version is None and len(counts) > 1:
            raise ConfigError(
                f"{shown_path(folder.name)}: codes of two versions ({said}), which name different "
                "things by the same letters; say icd_version=9 or icd_version=10"
            )
        if version is not None and version not in counts:
            raise ConfigError(
                f"{shown_path(folder.name)}: no code of ICD-{version} ({said}); allowed: "
                f"icd_version of {list(counts)}"
            )
        self.version = version or next(iter(counts), VERSIONS[0])

    def of(self, admission: str) -> list[str] | None:
        """The codes of an admission, each once, diagnoses first, in the order of their rank."""
        found = self.by_version[self.version or VERSIONS[0]].get(admission)
        if found is None:
            return None
        ranked = sorted(zip(found[::2], found[1::2], strict=True), key=lambda pair: int(pair[0]))
        return list(dict.fromkeys(str(code) for _, code in ranked))


def with_dot(code: str, version: int, *, is_procedure: bool = False) -> str:
    """A code as ICD-9-CM or ICD-10-CM prints it, of one that has lost its dot.

    >>> with_dot("4019", 9), with_dot("E8889", 9), with_dot("V5861", 9), with_dot("I2510", 10)
    ('401.9', 'E888.9', 'V58.61', 'I25.10')
    >>> with_dot("3893", 9, is_procedure=True), with_dot("02HV33Z", 10, is_procedure=True)
    ('38.93', '02HV33Z')
    """
    if "." in code or (is_procedure and version == 10):
        return code
    digits = 2 if is_procedure else 4 if version == 9 and code[0] in "Ee" else 3
    return f"{code[:digits]}.{code[digits:]}" if len(code) > digits else code


def _notes(
    file: File,
    faults: Faults,
    layout: Layout,
    kept: Collection[str] | None,
    codes: _Codes | None,
) -> Iterator[Note]:
    header = _header(file)
    own = {name.lower(): name for name in header}
    is_mimic3 = "row_id" in own
    defaults = {
        "note_id": own.get("row_id" if is_mimic3 else "note_id", "note_id"),
        "patient_id": own.get("subject_id", "subject_id"),
        "text": own.get("text", "text"),
    }
    added = () if codes is None else ("codes",)
    mapped = {**defaults, **layout.columns}
    written = layout.as_written if codes is None else (*layout.as_written, "codes")
    layout = replace(layout, columns=mapped, as_written=written)
    translate = partial(_record, own, faults, kept, codes)
    yield from read_delimited(file, faults, TableRows(layout, translate, added), ",")


def _record(
    own: Mapping[str, str],
    faults: Faults,
    kept: Collection[str] | None,
    codes: _Codes | None,
    row: Mapping[str, object],
) -> Mapping[str, object] | None:
    def cell(name: str) -> str:
        return _plain(str(row.get(own.get(name, name), "")))

    if cell("iserror") not in ("", "0"):
        faults.passed_over[_MARKED] += 1
        return None
    # MIMIC-III writes "Physician " with a blank.
    if kept is not None and "category" in own and cell("category") not in kept:
        faults.passed_over[_OTHER_CATEGORY] += 1
        return None
    if codes is None:
        return row
    admission = cell("hadm_id")
    if admission and admission in codes.broken:
        raise UnreadableError(
            "a note of an admission with a broken row of codes", "rows as the header has them"
        )
    found = codes.of(admission) if admission else None
    if found is None:
        faults.empty_here.append(_UNCODED if admission else _NO_ADMISSION)
    return {**row, "codes": found}


def _kept(category: str | Sequence[str]) -> list[str] | None:
    if category == ALL:
        return None
    names = [category] if isinstance(category, str) else list(category)
    if not names or not all(isinstance(name, str) for name in names):
        raise ConfigError("category must be a name or a list of names, or 'all'")
    return names


def _tables(folder: Folder, files: Sequence[File]) -> dict[str, File]:
    """Lower-case name of a table → its file."""
    found: dict[str, File] = {}
    for file in files:
        name = _table_name(file.name)
        if name in (MIMIC3_NOTES, *MIMIC4_NOTES, DIAGNOSES, PROCEDURES):
            if name in found:
                raise NoteError(
                    f"{shown_path(folder.name)}: {shown_path(found[name].name)!r} and "
                    f"{shown_path(file.name)!r} are both the table {name}; keep one of them"
                )
            found[name] = file
    return found


def _table_name(path: str) -> str:
    name = PurePosixPath(path).name.lower()
    stem = name.partition(".")[0]
    return stem if _ENDING.fullmatch(name.removeprefix(stem)) else ""


def _absent(folder: Folder, name: str) -> NoteError:
    return NoteError(
        f"{shown_path(folder.name)}: no table {name} (.csv, packed or not); give the folder that "
        "holds the tables of notes and of codes"
    )


def _header(file: File) -> list[str]:
    with file.text() as stream:
        return _first_row(csv.reader(stream))


def _first_row(lines: Iterator[list[str]]) -> list[str]:
    return next((row for row in lines if any(map(str.strip, row))), [])


def _rows(
    file: File, faults: Faults, required: Sequence[str], broken: set[str]
) -> Iterator[tuple[Place, dict[str, str]]]:
    """Yields (place, lower-case column → cell) of a table of codes.

    What may be the admission of a row with too many or too few cells goes to `broken`. Where rows
    can't be told apart, the whole table is refused.
    """
    with file.text() as stream:
        lines = csv.reader(stream, strict=True)
        try:
            header = [name.lower() for name in _first_row(lines)]
            missing = [name for name in required if name not in header]
            if not {"icd_code", "icd9_code"} & set(header):
                missing.append("icd_code")
            if missing:
                found = f"a table of codes without the columns {missing}"
                faults.refuse(Place(file.name, 1), found, "all")
                return
            for row in filter(None, lines):
                place = Place(file.name, lines.line_num)
                if len(row) != len(header):
                    faults.add(place, f"{len(row)} cells", f"{len(header)} cells, as in the header")
                    # It may have moved by what is missing, or is too much, before it.
                    at = header.index("hadm_id")
                    moved = at + len(row) - len(header)
                    broken.update(_plain(row[i]) for i in (at, moved) if 0 <= i < len(row))
                    continue
                cells = dict(zip(header, map(trimmed, row), strict=True))
                yield place, {n: c if n.endswith("_code") else _plain(c) for n, c in cells.items()}
        except csv.Error as error:
            # The module's messages name the problem, never a cell.
            faults.refuse(
                Place(file.name, lines.line_num),
                f"a table of codes that is broken ({error})",
                "a complete table, whose cells with quotes in them stand in quotes, quotes doubled",
            )


def _plain(cell: str) -> str:
    """A cell without blanks; whole numbers without the `.0` that pandas writes."""
    text = trimmed(cell)
    if text in MISSING:
        return ""
    return text.removesuffix(".0") if text.endswith(".0") and text[:-2].isdigit() else text


def _looks_notes(sight: Sight) -> bool:
    first = sight.text.partition("\n")[0].lstrip("\ufeff").strip().replace('"', "").lower()
    columns = set(first.split(","))
    return columns.issuperset(_MIMIC3) or columns.issuperset(_MIMIC4)


def _looks(sight: Sight) -> bool:
    names = {_table_name(name) for name in sight.names}
    return DIAGNOSES in names and not names.isdisjoint((MIMIC3_NOTES, *MIMIC4_NOTES))


MIMIC = Format("mimic", "MIMIC-III or MIMIC-IV", read_mimic, is_folder=True, looks=_looks)
MIMIC_NOTES = Format("mimic_notes", "MIMIC's table of notes", read_mimic_notes, looks=_looks_notes)
