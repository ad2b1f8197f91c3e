"""`read_notes`: any supported input as one dataset of notes."""

from __future__ import annotations

import hashlib
import inspect
import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeGuard, get_args

from clinical_tl.data.choosing import choose_labels
from clinical_tl.data.formats.cells import judge_columns
from clinical_tl.data.formats.columns import Columns, Layout, MetadataColumns
from clinical_tl.data.formats.encodings import likely_encoding
from clinical_tl.data.formats.files import File, check_regular, stem
from clinical_tl.data.formats.folders import ARCHIVE, Folder
from clinical_tl.data.formats.guessing import (
    check_parts,
    guess_folder,
    guess_format,
    named_format,
    parts,
)
from clinical_tl.data.formats.hub_datasets import (
    HUB_PREFIX,
    load_from_hub,
    read_dataset,
    read_stream,
)
from clinical_tl.data.formats.in_memory import as_frame, read_data_frame, read_records
from clinical_tl.data.formats.known import FORMATS
from clinical_tl.data.formats.problems import (
    NO_UNICODE,
    Duplicates,
    Faults,
    Place,
    UnreadableError,
)
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
    from datasets import Dataset, DatasetDict, IterableDataset

    from clinical_tl.data.formats.format import Format, Read
    from clinical_tl.data.formats.in_memory import Records

    Source: TypeAlias = (
        str
        | os.PathLike[str]
        | Sequence[str | os.PathLike[str]]
        | Dataset
        | IterableDataset
        | DatasetDict
        | pd.DataFrame
        | Records
        | Iterable[Note | Mapping[str, object]]
    )

CHECKED_NOTES = 10_000

OnError = Literal["raise", "skip"]

log = logging.getLogger(__name__)

READERS: dict[str, Read] = {
    known.name: known.read for known in FORMATS.values() if known.read is not None
}
DATASET_READER: Read = read_dataset
_DATASET_DICTS = ("DatasetDict", "IterableDatasetDict")
_NO_NOTE = "files without a note"
MEND = (
    "correct the input, or read the sound notes alone with on_error='skip' (the rest is then "
    "listed in a side file)"
)


@dataclass(frozen=True)
class _Input:
    """What is read: its name in errors, its parts, and what reads each."""

    name: str
    reader: Read
    parts: Sequence[object]
    prefixes: Sequence[str] = ("note",)
    path: Path | None = None
    """Where it lies, if in one place."""


def read_notes(
    source: Source,
    *,
    format: str | None = None,  # noqa: A002  (the word everyone looks for)
    columns: Columns | None = None,
    metadata_columns: MetadataColumns = (),
    separator: str = ";",
    make_ids: bool = False,
    split: str | None = None,
    encoding: str | None = None,
    labels: Sequence[str] | Mapping[str, str | None] | None = None,
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
        source: a file, a folder, a `.zip` of either, a pattern (`"notes/*.csv"`) or a list of
            files, which are read as one; a `datasets.Dataset`, streamed or not, a pandas or polars
            data frame, a list or an iterator of notes or of dicts; or `"hub:<dataset id>"` (the
            only form that uses the network). Files may be packed (`.gz`, `.bz2`, `.xz`, `.zst`).
        format: what the files are, where neither their look nor their ending tells: see
            `docs/formats.md` for the names.
        columns: field → column for tables, JSON lines and datasets, e.g.
            `{"note_id": "ID", "text": "section_text", "label": "section_header"}`. Fields not
            named come from columns of their own name; `None` leaves a field out. Codes may
            stand in several columns, and so may one label: `{"codes": ["I10", "E11.9"]}` (or a
            pattern, `{"codes": "DIAG*"}`), where cells say yes or no of the code that is the
            column's name, or hold a code each. A note whose cells are all blank is not annotated.
            `data.text` is a path to what lies deeper; `spans.start`, `spans.label`,
            `relations.head` and the like name the keys of mentions and relations; `tokens` and
            `tags` the columns of tokens.
        metadata_columns: columns to keep in `metadata`, or `"rest"`.
        separator: what stands between the codes in a cell.
        make_ids: number the notes `<file name>-1`, … where the input has no ids.
        split: which split of a Hub dataset, or of a `datasets.DatasetDict`.
        encoding: of texts that are not UTF-8, e.g. `"cp1252"`, as Windows writes them. A
            byte-order mark is believed first. It is never guessed: one that likely fits is named in
            the error.
        labels: the classes, codes, types of mentions and of relations to keep, or old → new name
            (`choose_labels`).
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
        **options: what the format's reader takes beside, e.g. `delimiter` and `quoting` of tables,
            `scheme` of CoNLL: `docs/formats.md` lists them.

    Raises:
        FaultyNotesError: faults, with `on_error="raise"`; or nothing sound to keep.
        ConfigError: an unknown format or option, or one that the format doesn't take.
        NoteError: a source that isn't there; labels or ids from a named column that look like
            text (of the first 10,000 notes).
    """
    _check_choice("on_error", on_error, get_args(OnError))
    _check_choice("duplicates", duplicates, get_args(Duplicates))
    asked = _input(source, format, split, encoding)
    layout = Layout(
        columns or {}, metadata_columns, separator, "" if make_ids else None, as_written
    )
    is_mapped = "layout" in inspect.signature(asked.reader).parameters
    if not is_mapped and replace(layout, id_prefix=None) != Layout():
        raise ConfigError(
            f"{shown_path(asked.name)}: columns, metadata_columns, separator and as_written are "
            "for tables, JSON and datasets; this format has none"
        )
    _check_options(asked.name, asked.reader, options)
    side = _side_file(asked, rejects) if on_error == "skip" else None
    faults = Faults(asked.name, duplicates=duplicates)
    notes = (
        note
        for part, prefix in zip(asked.parts, asked.prefixes, strict=True)
        for note in _guarded(
            asked.reader(
                part,
                faults,
                **options,
                **({"layout": layout.numbered(prefix)} if is_mapped else {}),
            ),
            faults,
            part if len(asked.parts) > 1 else None,
        )
    )
    dataset = tabulate(notes, None if cache_dir is None else _arrow_file(as_path(cache_dir), asked))
    _conclude(dataset, faults, side, asked)
    if labels is not None:
        dataset = choose_labels(dataset, labels)
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


def _input(
    source: object, format_name: str | None, split: str | None, encoding: str | None
) -> _Input:
    if isinstance(source, str) and source.startswith(HUB_PREFIX):
        found = _Input(source, DATASET_READER, [load_from_hub(source, split)])
    elif isinstance(source, str | os.PathLike) or _are_paths(source):
        if split is not None:
            raise ConfigError("split is for Hub datasets ('hub:<id>'); a file is one split")
        given = [source] if isinstance(source, str | os.PathLike) else source
        found = (
            _lying(given[0], format_name, encoding)
            if len(given) == 1
            else _several([as_path(path) for path in given], format_name, encoding)
        )
    else:
        found = _held(source, split)
    if format_name is None and encoding is None:
        return found
    if not all(isinstance(part, File | Folder) for part in found.parts):
        raise ConfigError("format and encoding are for files and folders")
    return found


def _are_paths(source: object) -> TypeGuard[Sequence[str | os.PathLike[str]]]:
    return (
        isinstance(source, list | tuple)
        and len(source) > 0
        and all(isinstance(path, str | os.PathLike) for path in source)
    )


def _lying(source: str | os.PathLike[str], format_name: str | None, encoding: str | None) -> _Input:
    path = as_path(source)
    if not path.exists():
        found = _matching(os.fspath(source))
        if found:
            return _several(found, format_name, encoding)
        raise NoteError(
            f"{shown_path(path)}: no such file or folder (Hub datasets are named "
            f"'{HUB_PREFIX}<id>')"
        )
    known = None if format_name is None else named_format(format_name)
    if path.is_dir() or path.name.lower().endswith(ARCHIVE):
        return _folder(Folder(path, encoding), known)
    if known is not None and known.is_folder:
        raise ConfigError(
            f"{shown_path(path.name)} is a file, and {known.title} (format={known.name!r}) is a "
            "folder, or a .zip of one; name that"
        )
    return _several([path], format_name, encoding)


def _matching(pattern: str) -> list[Path]:
    """What a pattern names, in order; nothing where it is none."""
    home = Path(pattern).anchor
    if not any(mark in pattern for mark in "*?["):
        return []
    rest = str(Path(pattern).relative_to(home))
    try:
        found = sorted(Path(home or ".").glob(rest))
    except (ValueError, NotImplementedError):
        raise ConfigError(
            f"{shown_value(pattern)} is no pattern; allowed: '*' for any characters, '**' alone "
            "between two '/' for any folders, e.g. 'notes/**/*.csv'"
        ) from None
    named = Path(rest).parts
    # As in folders: what is hidden is no part, unless the pattern says so.
    return [
        path
        for path in found
        if all(
            part in named or not part.startswith(".")
            for part in (path.relative_to(home) if home else path).parts
        )
    ]


def _several(paths: Sequence[Path], format_name: str | None, encoding: str | None) -> _Input:
    """Files that are read as one."""
    for path in paths:
        if not path.exists() and not path.is_symlink():
            raise NoteError(f"{shown_path(path)}: no such file")
        try:
            check_regular(path)
        except UnreadableError as error:
            raise NoteError(f"{shown_path(path.name)}: {error}") from None
    files = [File.at(path, encoding) for path in paths]
    name = files[0].name if len(files) == 1 else f"{len(files)} files"
    known = named_format(format_name) if format_name else _common(name, files)
    if known.is_folder:
        raise ConfigError(f"format={known.name!r} is for a folder; {name} were given")
    return _parts(name, known, files, paths[0] if len(paths) == 1 else None)


def _common(name: str, files: Sequence[File]) -> Format:
    """The one format of several files."""
    try:
        found = {guess_format(file).name for file in files}
    except UnreadableError as error:
        raise NoteError(f"{shown_path(name)}: {error}") from None
    if len(found) > 1:
        raise ConfigError(f"{name} of several formats, {sorted(found)}; read them apart")
    return FORMATS[found.pop()]


def _folder(folder: Folder, known: Format | None) -> _Input:
    unseen = Faults(folder.name)
    try:
        files = folder.files(unseen)
        chosen = known or guess_folder(folder, files)
    except UnreadableError as error:
        raise NoteError(f"{shown_path(folder.name)}: {error}") from None
    if chosen.is_folder:
        return _Input(folder.name, READERS[chosen.name], [folder], path=folder.path)
    own = parts(files)
    for file in own:
        try:
            folder.check_member(file)
        except UnreadableError as error:
            raise NoteError(f"{shown_path(file.name)}: {error}") from None
    if unseen:
        raise unseen.error(MEND)
    if not own:
        raise NoteError(f"{shown_path(folder.name)}: an empty folder; name one with files in it")
    return _parts(folder.name, chosen, own, folder.path)


def _parts(name: str, known: Format, files: Sequence[File], path: Path | None) -> _Input:
    check_parts(name, files)
    if len(files) > 1:
        log.info("%s: %d files of %s are read as one", shown_path(name), len(files), known.title)
    stems = Counter(file.stem for file in files)
    prefixes = [file.stem if stems[file.stem] == 1 else file.name for file in files]
    bare = Counter(file.bare_name for file in files)
    files = [
        file
        if stems[file.stem] == 1
        else replace(file, apart=file.bare_name if bare[file.bare_name] == 1 else file.name)
        for file in files
    ]
    return _Input(name, READERS[known.name], files, prefixes, path)


def _held(source: object, split: str | None) -> _Input:
    """A source in memory."""
    if isinstance(source, Mapping) and type(source).__name__ in _DATASET_DICTS:
        if split not in source:
            raise ConfigError(f"a dataset of the splits {sorted(source)}; say which: split='…'")
        return _held(source[split], None)
    if split is not None:
        raise ConfigError("split is for Hub datasets ('hub:<id>') and dicts of splits")
    frame = as_frame(source)
    if frame is not None:
        return _Input("data frame", read_data_frame, [frame])
    if isinstance(source, list | tuple | Notes):
        return _Input("records", read_records, [source])
    if hasattr(source, "column_names") and hasattr(source, "features"):
        is_stream = not hasattr(source, "__len__")
        return _Input("dataset", read_stream if is_stream else DATASET_READER, [source])
    if isinstance(source, Iterator):
        return _Input("records", read_records, [source])
    raise ConfigError(
        f"source is of type {type(source).__name__}; allowed: a path, a pattern or a list of "
        "paths, 'hub:<id>', a dataset, a data frame, a list or an iterator of notes or of dicts"
    )


def _check_options(name: str, reader: Read, options: Mapping[str, object]) -> None:
    parameters = inspect.signature(reader).parameters.values()
    known = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY} - {"layout"}
    unknown = sorted(set(options) - known)
    if unknown:
        raise ConfigError(
            f"{shown_path(name)}: unknown options {unknown}; this format takes "
            f"{sorted(known) or 'none'}"
        )


def _side_file(asked: _Input, rejects: str | os.PathLike[str] | None) -> Path:
    if rejects is not None:
        return as_path(rejects)
    path = asked.path
    if path is None:
        raise ConfigError(
            f"{shown_path(asked.name)}: on_error='skip' needs a side file: rejects='rejected.jsonl'"
        )
    return path.resolve().with_name(f"{path.resolve().name}.rejected.jsonl")


def _arrow_file(folder: Path, asked: _Input) -> Path:
    # Two files of one name in different folders must not replace one another.
    files = [str(part.path.resolve()) for part in asked.parts if isinstance(part, File)]
    whole = str(asked.path.resolve()) if asked.path else "\0".join(files) or asked.name
    mark = hashlib.blake2b(os.fsencode(whole), digest_size=4).hexdigest()
    return folder / f"{stem(Path(asked.name))}-{mark}.arrow"


def _guarded(notes: Iterator[Note], faults: Faults, part: object = None) -> Iterator[Note]:
    """Yields notes; `part`, where it is one of several, is spoken of if it has none."""
    mark, told = len(faults), faults.passed_over.total() + faults.dropped
    n = 0
    # A stream that breaks (gzip, disk) ends the reading; what was found so far is still told.
    try:
        for n, note in enumerate(notes, 1):  # noqa: B007  (whether there was one)
            yield note
        if n or len(faults) > mark or faults.passed_over.total() + faults.dropped > told:
            return
        if isinstance(part, File) and not _has_bytes(part):
            faults.add(Place(part.name), "an empty file", "files with notes, or not this one")
        elif part is not None:
            faults.passed_over[_NO_NOTE] += 1
    except UnreadableError as error:
        faults.add_error(Place(faults.source), error)
    except ClinicalTLError:
        raise
    except Exception as error:  # of a kind that only the file knows
        reason = f"the file breaks off ({type(error).__name__})"
        faults.add(Place(faults.source), reason, "a complete, readable file")


def _has_bytes(file: File) -> bool:
    with file.bytes() as stream:
        return bool(stream.read(1))


def _conclude(dataset: Notes, faults: Faults, side: Path | None, asked: _Input) -> None:
    if faults.dropped:
        log.warning(
            "%s: %d repeated notes left out, the first of each kept", faults.source, faults.dropped
        )
    if faults.passed_over:
        log.warning("%s: passed over: %s", faults.source, _counted(faults.passed_over))
    judge_columns(faults)
    if not len(dataset) and not faults:
        faults.add(Place(faults.source), "no note at all", "at least one note")
    if faults.changed:
        log.warning(
            "%s: not read as it stands: %s. as_written=[field] takes a field's cells as they are",
            faults.source,
            _counted(faults.changed),
        )
    if faults.empty:
        log.info("%s: empty cells: %s", faults.source, _counted(faults.empty))
    if faults.doubtful:
        log.warning("%s: read as it stands, but odd: %s", faults.source, _counted(faults.doubtful))
    if side is not None:
        _write_side_file(faults, side)
    if faults and (side is None or faults.is_refused or not len(dataset)):
        raise faults.error(MEND + _other_encoding(faults, asked))
    if faults:
        log.warning(
            "%s: %d notes kept, %d rejected for %d faults, which are listed in %s",
            faults.source,
            len(dataset),
            faults.rejected,
            len(faults),
            shown_path(side),
        )


def _other_encoding(faults: Faults, asked: _Input) -> str:
    if not any(fault.found.startswith(NO_UNICODE) for fault in faults.faults):
        return ""
    files = [part for part in asked.parts if isinstance(part, File)]
    likely = likely_encoding(files)
    return f". The bytes may be {likely}; compare a few words" if likely else ""


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
