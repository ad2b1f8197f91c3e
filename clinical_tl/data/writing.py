"""`write_notes`: notes as JSON lines, CoNLL, BRAT or spaCy's DocBin."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from clinical_tl.data.formats.brat import write_brat
from clinical_tl.data.formats.conll import write_conll
from clinical_tl.data.formats.doc_bin import write_doc_bin
from clinical_tl.data.formats.json_lines import write_json_lines
from clinical_tl.data.formats.left_out import Losses
from clinical_tl.data.notes import NotesLike, each_note
from clinical_tl.errors import ConfigError, NoteError, shown_path, shown_value
from clinical_tl.schema import Note
from clinical_tl.storage.paths import as_path
from clinical_tl.storage.replacement import replacing_file, replacing_folder

log = logging.getLogger(__name__)

WRITERS: dict[str, Callable[[Iterable[Note], Path, Losses], None]] = {
    "json_lines": write_json_lines,
    "conll": write_conll,
    "brat": write_brat,
    "docbin": write_doc_bin,
}
ENDINGS = {
    ".jsonl": "json_lines",
    ".jsonl.gz": "json_lines",
    ".ndjson": "json_lines",
    ".conll": "conll",
    ".bio": "conll",
    ".iob2": "conll",
    ".spacy": "docbin",
}


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
    """Writes notes to a file (JSON lines, CoNLL, DocBin) or a folder (BRAT).

    JSON lines and DocBin hold everything; the others may not, and then nothing is written unless
    `lossy`.
    A file is replaced as a whole, a folder must be new or empty.

    Args:
        notes: a dataset from `read_notes`, or records.
        path: where to.
        format: `json_lines`, `conll`, `brat` or `docbin`; without it the path's ending decides.
        lossy: leave out what the format can't hold; it is counted in the result and the log.

    Raises:
        NoteError: losses without `lossy`, notes the format can't hold at all, a folder in use.
        ConfigError: no format, or an unknown one.
        OutputError: the file system refuses.
    """
    target = as_path(path)
    chosen = format or _guess_format(target)
    if chosen not in WRITERS:
        raise ConfigError(f"format={shown_value(chosen)}; allowed: {list(WRITERS)}")
    _require_room(target, is_folder=chosen == "brat")
    losses = Losses()
    # All or nothing: an error or a kill leaves what stood there before.
    replacing = replacing_folder if chosen == "brat" else replacing_file
    with replacing(target) as part:
        WRITERS[chosen](each_note(notes), part, losses)
        if losses.counts and not lossy:
            raise NoteError(
                f"{shown_path(target.name)}: {chosen} can't hold {losses}; write JSON lines, or "
                "leave them out with lossy=True"
            )
    if losses.counts:
        log.warning(
            "%s: %d notes written without %s", shown_path(target.name), losses.notes, losses
        )
    return Written(losses.notes, dict(sorted(losses.counts.items())))


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


def _guess_format(path: Path) -> str:
    for ending, name in ENDINGS.items():
        if path.name.lower().endswith(ending):
            return name
    raise ConfigError(
        f"{shown_path(path.name)}: this ending does not tell the format; say it: format='…', one "
        f"of {list(WRITERS)}. Endings that do: {list(ENDINGS)}"
    )
