"""A format: how its files are known, read and written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from clinical_tl.data.formats.left_out import Losses
from clinical_tl.data.formats.sight import Sight
from clinical_tl.schema import Note

Read = Callable[..., Iterator[Note]]
"""Takes a `File` (or a `Folder`), `Faults`, and its options by keyword."""
Write = Callable[[Iterable[Note], Path, Losses], None]
"""Writes notes to a file, or into a new folder, counting what it can't hold."""


def _never(_: Sight) -> bool:
    return False


@dataclass(frozen=True)
class Format:
    """One format, declared at the end of its module and listed in `known.FORMATS`.

    Attributes:
        name: what `format=` calls it.
        title: what a person calls it.
        read: yields the notes of one file, or of a folder. Options are keyword arguments; one
            called `layout` gets the mapping of columns.
        write: writes notes.
        is_folder: whether it is a folder (or an archive of one), not a file.
        endings: of file names that tell the format; the packing's (`.gz`) is not among them.
        written: those of them that are written, if not all.
        looks: whether an input looks like it. It must be sure: what other formats may look like,
            too, is for endings to tell.
        export: for a format that is not read: what to export instead.
    """

    name: str
    title: str
    read: Read | None = None
    write: Write | None = None
    is_folder: bool = False
    endings: tuple[str, ...] = ()
    written: tuple[str, ...] | None = None
    looks: Callable[[Sight], bool] = _never
    export: str = ""
