"""The files of an input that is more than one: a folder, or an archive."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from clinical_tl.data.formats.files import File, check_encoding, check_regular, open_archive
from clinical_tl.data.formats.packing import check_expansion
from clinical_tl.data.formats.problems import Faults, Place, UnreadableError

ARCHIVE = ".zip"


@dataclass(frozen=True)
class Folder:
    """A folder on disk, or a `.zip`, whose members are read as the files of one would be.

    Attributes:
        path: where it lies.
        encoding: of its files' texts, where that is no UTF-8.
    """

    path: Path
    encoding: str | None = None

    def __post_init__(self) -> None:
        if self.encoding is not None:
            check_encoding(self.encoding)

    @property
    def name(self) -> str:
        """What errors call it."""
        return self.path.name

    @property
    def stem(self) -> str:
        """Its name without endings."""
        return self.path.name.split(".")[0] or self.path.name

    @property
    def is_archive(self) -> bool:
        """Whether it is a `.zip`."""
        return not self.path.is_dir()

    def files(self, faults: Faults) -> list[File]:
        """All its files, at any depth, in the order of their names.

        Names that begin with a dot (`.DS_Store`) and an archive's `__MACOSX` are no files of the
        input. Links to folders are not followed, which is said; folders that can't be looked
        into are faults. What is no sound file (`check_member`) is among the results, so that it
        is told.
        """
        found = self._packed() if self.is_archive else self._lying(faults)
        return sorted(
            (file for file in found if not _is_hidden(file.name)), key=lambda file: file.name
        )

    def members(self, faults: Faults, *endings: str) -> list[list[File]]:
        """For each ending, in any case, the files that have it."""
        files = self.files(faults)
        return [[file for file in files if file.name.lower().endswith(end)] for end in endings]

    def check_member(self, file: File) -> None:
        """Makes sure that a file is a regular one of this folder.

        Raises `UnreadableError` if it is not, or is a link that leads out of the folder.
        """
        if self.is_archive:
            return
        check_regular(file.path)
        if not file.path.resolve().is_relative_to(self.path.resolve()):
            raise UnreadableError(
                "a link that leads out of the folder",
                "files of the folder (copy what the link leads to, or read the folder where it "
                "lies)",
            )

    def text_of(self, file: File, place: Place, faults: Faults) -> str | None:
        """A file's text; what is wrong goes to `faults`, and `None` comes back."""
        try:
            self.check_member(file)
            return file.read_text()
        except (OSError, UnicodeError, UnreadableError) as error:
            faults.add_error(place, error)
            return None

    def _packed(self) -> list[File]:
        archive = open_archive(self.path)
        infos = [info for info in archive.infolist() if not info.is_dir()]
        # Each by itself may be small, and all together fill the memory.
        check_expansion(self.path.stat().st_size, sum(info.file_size for info in infos))
        return [
            File(self.path, info.filename, info.filename, self.encoding, archive) for info in infos
        ]

    def _lying(self, faults: Faults) -> list[File]:
        def unreadable(error: OSError) -> None:
            where = Path(error.filename).relative_to(self.path).as_posix()
            faults.add_error(Place(where), error)

        files: list[Path] = []
        folders: list[Path] = []
        for root, below, here in os.walk(self.path, onerror=unreadable):
            files += [Path(root, name) for name in here]
            folders += [Path(root, name) for name in below]
        links = sum(path.is_symlink() for path in folders)
        if links:
            faults.doubtful["links to folders, which are not followed"] += links
        holding = {parent for path in files for parent in path.parents}
        named = [*files, *(path for path in folders if path not in holding)]
        return [
            File(path, path.relative_to(self.path).as_posix(), encoding=self.encoding)
            for path in named
        ]


def _is_hidden(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return parts[0] == "__MACOSX" or any(part.startswith(".") for part in parts)
