"""`read_notes`: any supported input as one dataset of notes."""

from __future__ import annotations

import hashlib
import inspect
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from clinical_tl.data.formats.brat import read_brat
from clinical_tl.data.formats.cells import judge_columns
from clinical_tl.data.formats.chemprot import read_chemprot
from clinical_tl.data.formats.codiesp import read_codiesp
from clinical_tl.data.formats.columns import Layout, MetadataColumns
from clinical_tl.data.formats.conll import read_conll
from clinical_tl.data.formats.doc_bin import read_doc_bin
from clinical_tl.data.formats.hub_datasets import HUB_PREFIX, load_from_hub, read_dataset
from clinical_tl.data.formats.in_memory import is_data_frame, read_data_frame, read_records
from clinical_tl.data.formats.json_lines import read_json_lines
from clinical_tl.data.formats.lines import check_regular, stem
from clinical_tl.data.formats.problems import Duplicates, Faults, Place, UnreadableError
from clinical_tl.data.formats.pubtator import read_pubtator
from clinical_tl.data.formats.tables import read_csv, read_parquet, read_tsv
from clinical_tl.data.notes import Notes, tabulate
from clinical_tl.data.plausibility import FIELDS, Field, check_plausible
from clinical_tl.errors import (
    ClinicalTLError,
    ConfigError,
    NoteError,
    shown_path,
    shown_value,
)
from clinical_tl.schema import Note
from clinical_tl.storage.paths import as_path

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

    from clinical_tl.data.formats.in_memory import Records

CHECKED_NOTES = 10_000

OnError = Literal["raise", "skip"]

log = logging.getLogger(__name__)

READERS: dict[str, Callable[..., Iterator[Note]]] = {
    "json_lines": read_json_lines,
    "csv": read_csv,
    "tsv": read_tsv,
    "parquet": read_parquet,
    "pubtator": read_pubtator,
    "conll": read_conll,
    "brat": read_brat,
    "codiesp": read_codiesp,
    "chemprot": read_chemprot,
    "docbin": read_doc_bin,
}
DATASET_READER: Callable[..., Iterator[Note]] = read_dataset
FOLDER_FORMATS = ("brat", "codiesp")
ENDINGS = {
    ".jsonl": "json_lines",
    ".ndjson": "json_lines",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".pubtator": "pubtator",
    ".pubtator.txt": "pubtator",
    ".conll": "conll",
    ".bio": "conll",
    ".iob2": "conll",
    ".spacy": "docbin",
}
MEND = (
    "correct the input, or read the sound notes alone with on_error='skip' (the rest is then "
    "listed in a side file)"
)


def guess_format(path: Path) -> str:
    """The format that a file's ending names; content is never looked at.

    Raises:
        ConfigError: an ending that names none (`.txt`, `.json`, a folder).
    """
    name = path.name.lower().removesuffix(".gz")
    for ending, format_name in ENDINGS.items():
        if name.endswith(ending) and not path.is_dir():
            return format_name
    what = "a folder" if path.is_dir() else "this ending"
    allowed = FOLDER_FORMATS if path.is_dir() else tuple(READERS)
    raise ConfigError(
        f"{shown_path(path.name)}: {what} does not tell the format; say it: format='…', one of "
        f"{list(allowed)}. Endings that do: {list(ENDINGS)}"
    )


def read_notes(
    source: str | os.PathLike[str] | Dataset | pd.DataFrame | Records,
    *,
    format: str | None = None,  # noqa: A002  (the word everyone looks for)
    columns: Mapping[str, str | None] | None = None,
    metadata_columns: MetadataColumns = (),
    separator: str = ";",
    make_ids: bool = False,
    split: str | None = None,
    on_error: OnError = "raise",
    rejects: str | os.PathLike[str] | None = None,
    duplicates: Duplicates = "fault",
    as_written: Sequence[str] = (),
    cache_dir: str | os.PathLike[str] | None = None,
    allow_implausible: bool = False,
    **options: object,
) -> Notes:
    """Reads notes of any format into the package's one schema.

    Args:
        source: a file, a folder, a `datasets.Dataset`, a pandas data frame, a list of notes or
            of dicts, or `"hub:<dataset id>"` (the only form that uses the network).
        format: `json_lines`, `csv`, `tsv`, `parquet`, `pubtator`, `conll`, `brat`,
            `codiesp`, `chemprot` or `docbin`; without it the file's ending decides.
        columns: field → column for tables, JSON lines and datasets, e.g.
            `{"note_id": "ID", "text": "section_text", "label": "section_header"}`. Fields not
            named come from columns of their own name; `None` leaves a field out.
        metadata_columns: columns to keep in `metadata`, or `"rest"`.
        separator: what stands between the codes in a cell.
        make_ids: number the notes `<file name>-1`, … where the input has no ids.
        split: which split of a Hub dataset.
        on_error: `raise` one error with every fault, or `skip` faulty notes: they are counted
            in the log and listed in `rejects`.
        rejects: the side file, JSON lines with line and reason; `<source>.rejected.jsonl`
            beside the source by default. Needed where the source is no file or folder.
        duplicates: a note id that occurs again is a `fault`, or only the `first` is kept, or
            the later ones are told apart by a `number` (`<id>#2`).
        as_written: fields of `note_id`, `patient_id`, `label` and `codes` whose cells are taken
            as they stand. Otherwise what other programs write is read as they mean it, and
            said in the log: `NA`, `NULL`, `None` and the like are nothing, `10006.0` is 10006,
            `['I10', 'E11.9']` and other printed lists are lists. A class that is called "None"
            needs `as_written=["label"]`.
        cache_dir: write the dataset there and map it, for corpora larger than memory. It is
            written anew at every reading, so it never holds old content. Without it nothing
            is written to disk.
        allow_implausible: take labels and ids from the columns that `columns` names even where
            they look like text and not like names.
        **options: what the format's reader takes beside: `scheme`, `grouping`, `token_column`,
            `tag_column`, `id_column` (conll), `texts`, `codes_file` (codiesp), `no_relation`
            (chemprot), `delimiter` (csv), `quoting` (csv, tsv), `mentions`, `spans_key`, `cats`
            (docbin).

    Raises:
        FaultyNotesError: faults, with `on_error="raise"`; or nothing sound to keep.
        ConfigError: an unknown format or option, or one that the format doesn't take.
        NoteError: a source that isn't there; labels or ids from a named column that look like
            text (of the first 10,000 notes).
    """
    _check_choice("on_error", on_error, get_args(OnError))
    _check_choice("duplicates", duplicates, get_args(Duplicates))
    is_hub = isinstance(source, str) and source.startswith(HUB_PREFIX)
    if split is not None and not is_hub:
        raise ConfigError("split is for Hub datasets ('hub:<id>'); a file is one split")
    path = as_path(source) if isinstance(source, str | os.PathLike) and not is_hub else None
    reader: Callable[..., Iterator[Note]]
    if path is not None:
        name = path.name
        reader = _reader(path, format)
    else:
        name, reader = (source, DATASET_READER) if isinstance(source, str) else _held(source)
        if format is not None:
            raise ConfigError(f"format={shown_value(format)} is for files and folders")
    prefix = "note" if path is None else stem(path)
    layout = Layout(
        columns or {}, metadata_columns, separator, prefix if make_ids else None, as_written
    )
    is_mapped = "layout" in inspect.signature(reader).parameters
    if not is_mapped and layout != Layout():
        raise ConfigError(
            f"{shown_path(name)}: columns, metadata_columns, separator, make_ids and as_written "
            "are for tables, JSON lines and datasets; this format has none"
        )
    _check_options(name, reader, options)
    side = _side_file(path, rejects, name) if on_error == "skip" else None
    subject = path or (load_from_hub(name, split) if is_hub else source)
    faults = Faults(name, duplicates=duplicates)
    given = {**options, "layout": layout} if is_mapped else options
    notes = _guarded(reader(subject, faults, **given), faults)
    dataset = tabulate(
        notes, None if cache_dir is None else _arrow_file(as_path(cache_dir), path, name)
    )
    _conclude(dataset, faults, side)
    if columns and not allow_implausible:
        _check_columns(dataset, layout)
    return dataset


def _check_columns(notes: Notes, layout: Layout) -> None:
    named: list[Field] = [field for field in FIELDS if layout.columns.get(field) is not None]
    # A mapped dataset may be larger than memory.
    check_plausible(
        notes[:CHECKED_NOTES].records if named else [],
        *named,
        allow_implausible=False,
        error=NoteError,
    )


def _check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"{name}={shown_value(value)}; allowed: {list(allowed)}")


def _reader(path: Path, format_name: str | None) -> Callable[..., Iterator[Note]]:
    if not path.exists():
        raise NoteError(
            f"{shown_path(path)}: no such file or folder (Hub datasets are named "
            f"'{HUB_PREFIX}<id>')"
        )
    chosen = format_name or guess_format(path)
    _check_choice("format", chosen, tuple(READERS))
    if path.is_dir() != (chosen in FOLDER_FORMATS):
        kind = "a folder" if path.is_dir() else "a file"
        raise ConfigError(
            f"{shown_path(path.name)} is {kind}, which format={shown_value(chosen)} is not for; "
            f"folders: {list(FOLDER_FORMATS)}"
        )
    if not path.is_dir():
        try:
            check_regular(path)
        except UnreadableError as error:
            raise NoteError(f"{shown_path(path.name)}: {error}") from None
    return READERS[chosen]


def _held(source: object) -> tuple[str, Callable[..., Iterator[Note]]]:
    """What to call a source in memory, and what reads it."""
    if is_data_frame(source):
        return "data frame", read_data_frame
    if isinstance(source, list | tuple | Notes):
        return "records", read_records
    if hasattr(source, "column_names") and hasattr(source, "features"):
        return "dataset", DATASET_READER
    raise ConfigError(
        f"source is of type {type(source).__name__}; allowed: a path, 'hub:<id>', a dataset, a "
        "data frame, a list of notes or of dicts"
    )


def _check_options(
    name: str, reader: Callable[..., Iterator[Note]], options: Mapping[str, object]
) -> None:
    parameters = inspect.signature(reader).parameters.values()
    known = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY} - {"layout"}
    unknown = sorted(set(options) - known)
    if unknown:
        raise ConfigError(
            f"{shown_path(name)}: unknown options {unknown}; this format takes "
            f"{sorted(known) or 'none'}"
        )


def _side_file(path: Path | None, rejects: str | os.PathLike[str] | None, name: str) -> Path:
    if rejects is not None:
        return as_path(rejects)
    if path is None:
        raise ConfigError(
            f"{shown_path(name)}: on_error='skip' needs a side file: rejects='rejected.jsonl'"
        )
    return path.resolve().with_name(f"{path.resolve().name}.rejected.jsonl")


def _arrow_file(folder: Path, path: Path | None, name: str) -> Path:
    # Two files of one name in different folders must not replace one another.
    whole = name if path is None else str(path.resolve())
    mark = hashlib.blake2b(os.fsencode(whole), digest_size=4).hexdigest()
    return folder / f"{stem(Path(name))}-{mark}.arrow"


def _guarded(notes: Iterator[Note], faults: Faults) -> Iterator[Note]:
    # A stream that breaks (gzip, disk) ends the reading; what was found so far is still told.
    try:
        yield from notes
    except UnreadableError as error:
        faults.add_error(Place(faults.source), error)
    except ClinicalTLError:
        raise
    except Exception as error:  # of a kind that only the file knows
        reason = f"the file breaks off ({type(error).__name__})"
        faults.add(Place(faults.source), reason, "a complete, readable file")


def _conclude(dataset: Notes, faults: Faults, side: Path | None) -> None:
    if faults.dropped:
        log.warning(
            "%s: %d repeated notes left out, the first of each kept", faults.source, faults.dropped
        )
    judge_columns(faults)
    if not len(dataset) and not faults:
        faults.add(Place(faults.source), "no note at all", "at least one note")
    if faults.changed:
        log.warning(
            "%s: not read as it stands: %s. as_written=[field] takes a field's cells as they are",
            faults.source,
            _counted(faults.changed),
        )
    if faults.doubtful:
        log.warning("%s: read as it stands, but odd: %s", faults.source, _counted(faults.doubtful))
    if side is not None:
        _write_side_file(faults, side)
    if faults and (side is None or faults.is_refused or not len(dataset)):
        raise faults.error(MEND)
    if faults:
        log.warning(
            "%s: %d notes kept, %d rejected for %d faults, which are listed in %s",
            faults.source,
            len(dataset),
            faults.rejected,
            len(faults),
            shown_path(side),
        )


def _counted(what: Counter[str]) -> str:
    return "; ".join(f"{count} {name}" for name, count in sorted(what.items()))


def _write_side_file(faults: Faults, side: Path) -> None:
    try:
        # One left from an earlier reading would speak of faults that are gone.
        side.unlink(missing_ok=True)
        if faults:
            faults.write(side)
    except OSError as error:
        raise NoteError(
            f"{shown_path(side)}: the side file can't be written ({type(error).__name__}); say "
            "where: rejects='…/rejected.jsonl'"
        ) from error
