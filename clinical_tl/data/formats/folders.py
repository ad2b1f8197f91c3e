"""The files of a folder that a corpus consists of, whatever else lies there."""

from __future__ import annotations

import os
from pathlib import Path

from clinical_tl.data.formats.lines import check_regular, read_text
from clinical_tl.data.formats.problems import Faults, Place, UnreadableError


def members(folder: Path, faults: Faults, *endings: str) -> list[list[Path]]:
    """For each ending, all at or under a folder whose name has it, in any case, in order.

    Links to folders are not followed, which is said; folders that can't be looked into are
    faults. What is no sound file (`check_member`) is among the results, so that it is told.
    """

    def unreadable(error: OSError) -> None:
        where = Path(error.filename).relative_to(folder).as_posix()
        faults.add_error(Place(where), error)

    files: list[Path] = []
    folders: list[Path] = []
    for root, below, here in os.walk(folder, onerror=unreadable):
        files += [Path(root, name) for name in here]
        folders += [Path(root, name) for name in below]
    links = sum(path.is_symlink() for path in folders)
    if links:
        faults.doubtful["links to folders, which are not followed"] += links
    holding = {parent for path in files for parent in path.parents}
    named = [*files, *(path for path in folders if path not in holding)]
    return [sorted(p for p in named if p.name.lower().endswith(ending)) for ending in endings]


def check_member(path: Path, folder: Path) -> None:
    """Makes sure that a path is a regular file of the folder.

    Raises `UnreadableError` if it is not, or is a link that leads out of the folder.
    """
    check_regular(path)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise UnreadableError(
            "a link that leads out of the folder",
            "files of the folder (copy what the link leads to, or read the folder where it lies)",
        )


def member_text(path: Path, folder: Path, place: Place, faults: Faults) -> str | None:
    """The text of a file of the folder; what is wrong goes to `faults`, and `None` comes back."""
    try:
        check_member(path, folder)
        return read_text(path)
    except (OSError, UnreadableError) as error:
        faults.add_error(place, error)
        return None
