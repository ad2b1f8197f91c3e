"""`write_notes`: notes as JSON lines, and as other tools read them."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from clinical_tl.data.formats.format import Format, Write
from clinical_tl.data.formats.known import FORMATS
from clinical_tl.data.formats.left_out import Losses
from clinical_tl.data.formats.packing import PACKED, check_written_name
from clinical_tl.data.notes import NotesLike, each_note
from clinical_tl.errors import ConfigError, NoteError, shown_path, shown_value
from clinical_tl.storage.paths import as_path
from clinical_tl.storage.replacement import replacing_file, replacing_folder

log = logging.getLogger(__name__)

WRITERS: dict[str, Write] = {
    known.name: known.write for known in FORMATS.values() if known.write is not None
}
# Whose writers pack a file whose name ends in `.gz`.
_PACKING = ("json_lines", "csv", "tsv")
ENDINGS: dict[str, str] = {
    ending + packing: known.name
    for known in FORMATS.values()
    if known.write is not None
    for ending in (known.endings if known.written is None else known.written)
    for packing in ("", *((PACKED,) if known.name in _PACKING else ()))
}
"""Ending → the format that is written under it."""


@dataclass(frozen=True)
class Written:
    """What a writer did: how many notes, and what of them the format could not hold."""

    notes: int
    losses: Mapping[str, int]


def write_notes(
    notes: NotesLike,
    path: str | os.PathLike[str],
    *,
    format: str | None = None,  # noqa: A002  (the word everyone looks for)
    lossy: bool = False,
) -> Written:
    """Writes notes to a file or, in formats that are folders (brat), to a folder.

    JSON lines, Parquet and DocBin hold everything but values that `read_notes` takes for something
    else (a label "None", an id "7.0"); the others hold less. What a format can't hold is refused,
    and nothing is written, unless `lossy`. A file is replaced as a whole, a folder must be new or
    empty.

    Args:
        notes: a dataset from `read_notes`, or records.
        path: where to.
        format: one of those that `docs/formats.md` says are written; without it the path's ending
            decides.
        lossy: leave out what the format can't hold; it is counted in the result and the log.

    Raises:
        NoteError: losses without `lossy`, notes the format can't hold at all, a folder in use.
        ConfigError: no format, an unknown one, or a packed file's name for one that isn't packed
            so (JSON lines, CSV and TSV are, as `.gz`).
        OutputError: the file system refuses.
    """
    target = as_path(path)
    chosen = FORMATS[format] if format in WRITERS else None
    if chosen is None and format is not None:
        raise ConfigError(f"format={shown_value(format)}; allowed: {list(WRITERS)}")
    chosen = chosen or _guess_format(target)
    check_note_file_name(target, chosen.name)
    _require_room(target, is_folder=chosen.is_folder)
    losses = Losses()
    # All or nothing: an error or a kill leaves what stood there before.
    replacing = replacing_folder if chosen.is_folder else replacing_file
    with replacing(target) as part:
        WRITERS[chosen.name](each_note(notes), part, losses)
        if losses.counts and not lossy:
            other = "change them" if chosen.name == "json_lines" else "write JSON lines"
            raise NoteError(
                f"{shown_path(target.name)}: {chosen.name} can't hold {losses}; {other}, or leave "
                "them out with lossy=True"
            )
    if losses.counts:
        log.warning(
            "%s: %d notes written without %s", shown_path(target.name), losses.notes, losses
        )
    return Written(losses.notes, dict(sorted(losses.counts.items())))


def check_note_file_name(path: Path, format_name: str) -> None:
    """Raises `ConfigError` for a packed file's name where the format is not packed so."""
    if not FORMATS[format_name].is_folder:
        check_written_name(path, format_name, packs=format_name in _PACKING)


def _require_room(target: Path, *, is_folder: bool) -> None:
    if not target.exists():
        return
    if target.is_dir() and (not is_folder or any(target.iterdir())):
        raise NoteError(
            f"{shown_path(target.name)}: a folder that is in use; name a new file or folder"
        )
    if target.is_file() and is_folder:
        raise NoteError(
            f"{shown_path(target.name)}: a file, but this format is a folder; name a new one"
        )


def _guess_format(path: Path) -> Format:
    # The longest ending: `.pubtator.txt` is not `.txt`.
    ending = max(filter(path.name.lower().endswith, ENDINGS), key=len, default=None)
    if ending is not None:
        return FORMATS[ENDINGS[ending]]
    raise ConfigError(
        f"{shown_path(path.name)}: this ending does not tell the format; say it: format='…', one "
        f"of {list(WRITERS)}. Endings that do: {list(ENDINGS)}"
    )
