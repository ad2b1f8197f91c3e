"""A file to be read, wherever it lies: on disk, packed, or within a `.zip`."""

from __future__ import annotations

import codecs
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO, TextIO, cast

from clinical_tl.data.formats.packing import UNPACKERS, Unpacked, check_expansion
from clinical_tl.data.formats.problems import UnreadableError
from clinical_tl.errors import ConfigError, shown_value

BYTE_ORDER_MARK = "\ufeff"
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class File:
    """One file of an input.

    Attributes:
        path: where it lies on disk; for a member of an archive, where the archive does.
        name: what errors call it: its name, or its path within a folder or an archive.
        member: its name within the archive `path`, if it is in one.
        encoding: of its text, where that is no UTF-8 and has no byte-order mark.
        archive: the archive, opened once for all its members.
        apart: what tells it from another part of one input that has its stem.
    """

    path: Path
    name: str
    member: str | None = None
    encoding: str | None = None
    archive: zipfile.ZipFile | None = field(default=None, compare=False, repr=False)
    apart: str | None = None

    @classmethod
    def at(cls, path: Path, encoding: str | None = None) -> File:
        """A file on disk. Raises `ConfigError` for an encoding that Python doesn't know."""
        if encoding is not None:
            check_encoding(encoding)
        return cls(path, path.name, encoding=encoding)

    @property
    def inner_name(self) -> str:
        """Its name in lower case, without the ending of its packing."""
        name = PurePosixPath(self.name).name.lower()
        return name.removesuffix(next(filter(name.endswith, UNPACKERS), ""))

    @property
    def stem(self) -> str:
        """Its name without folders and endings (`train.pubtator.txt` → `train`), or `apart`."""
        return self.apart or stem(PurePosixPath(self.name))

    @property
    def bare_name(self) -> str:
        """Its name with folders, without the endings of its packing and its kind."""
        packing = next(filter(self.name.lower().endswith, UNPACKERS), "")
        name = self.name[: len(self.name) - len(packing)]
        return PurePosixPath(name).with_suffix("").as_posix()

    @property
    def size(self) -> int:
        """How many bytes it takes up on disk; of an archive, all of it."""
        return self.path.stat().st_size

    def bytes(self) -> BinaryIO:
        """Its bytes, unpacked.

        Raises `UnreadableError` for what is no regular file and, while it is read, for a packed
        file that grows out of proportion.
        """
        if self.member is not None:
            stream, size = self._from_archive(self.member)
        else:
            check_regular(self.path)
            stream, size = self.path.open("rb"), self.path.stat().st_size
        unpack = next((u for end, u in UNPACKERS.items() if self.name.lower().endswith(end)), None)
        if unpack is None:
            return stream
        unpacked = Unpacked(unpack(stream), size, beneath=stream)
        return cast(BinaryIO, io.BufferedReader(unpacked))

    def seekable(self) -> Path | BinaryIO:
        """Its path where it lies on disk as it is, else its bytes in memory."""
        if self.member is None and not self.name.lower().endswith(tuple(UNPACKERS)):
            check_regular(self.path)
            return self.path
        with self.bytes() as stream:
            return io.BytesIO(stream.read())

    def text(self, newline: str = "") -> TextIO:
        r"""Its text, line ends untouched: lines end with `newline`, by default as Python has it.

        Bytes that are not of the encoding become lone surrogates, so that one bad line spoils
        one note and not the file; `problems.note_problems` reports them. A leading byte-order
        mark is dropped, and says where a text is UTF-16. Raises as `bytes`.
        """
        return self._text(newline, marks_go=True)

    def read_text(self) -> str:
        """Its whole text, character by character as it is, a byte-order mark too."""
        with self._text("", marks_go=False) as stream:
            return stream.read()

    def lines(self) -> Iterator[tuple[int, str]]:
        r"""Yields (line number from 1, line without its `\n` or `\r\n`).

        Only `\n` ends a line: `str.splitlines` would also break at U+2028, U+0085 and the like,
        which occur inside notes. Where a file has no `\n` at all, `\r` does, as on old Macs.
        Raises as `bytes`.
        """
        with self.text(newline="\n") as stream:
            for number, line in enumerate(stream, 1):
                if number == 1 and not line.endswith("\n") and "\r" in line:
                    yield from enumerate(line.removesuffix("\r").split("\r"), 1)
                else:
                    yield number, line.removesuffix("\n").removesuffix("\r")

    def _text(self, newline: str, *, marks_go: bool) -> TextIO:
        stream = self.bytes()
        try:
            start = _peek(stream)
        except BaseException:
            stream.close()
            raise
        errors = "surrogateescape"
        if start[:2] in _UTF16_MARKS and start[:4] != codecs.BOM_UTF32_LE:
            # Half a character must spoil its note alone here, too.
            encoding, errors = "utf-16", "surrogatepass"
        elif start[:3] == codecs.BOM_UTF8:
            encoding = "utf-8-sig" if marks_go else "utf-8"
        else:
            encoding = self.encoding or "utf-8"
            errors = "surrogatepass" if encoding.lower().startswith("utf-16") else errors
        return io.TextIOWrapper(stream, encoding=encoding, errors=errors, newline=newline)

    def _from_archive(self, member: str) -> tuple[BinaryIO, int]:
        archive = self.archive or open_archive(self.path)
        info = archive.getinfo(member)
        check_expansion(info.compress_size, info.file_size)
        try:
            stream = archive.open(info)
        except (RuntimeError, NotImplementedError):
            raise UnreadableError(
                "an archive with a password, or of a packing that is not read",
                "a plain .zip (unpack this one, and read the folder)",
            ) from None
        unpacked = Unpacked(stream, info.compress_size)
        return cast(BinaryIO, io.BufferedReader(unpacked)), info.file_size


def open_archive(path: Path) -> zipfile.ZipFile:
    """Opens a `.zip`. Raises `UnreadableError` where it is none."""
    check_regular(path)
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile:
        raise UnreadableError("no .zip, or a broken one", "a complete archive") from None


def check_encoding(name: str) -> None:
    """Raises `ConfigError` for a name that is no encoding of text."""
    try:
        # Empty bytes are decoded by any name.
        b"a".decode(name)
        is_known = True
    except UnicodeError:
        is_known = True
    except (LookupError, ValueError):
        is_known = False
    if not is_known:
        raise ConfigError(
            f"encoding={shown_value(name)} is none that Python knows; allowed: e.g. 'cp1252' "
            "(Windows), 'latin-1', 'utf-16', 'gb18030'"
        )


def check_regular(path: Path) -> None:
    """Makes sure that opening a file can neither wait for ever nor read a device.

    Raises `UnreadableError` for what is no regular file, and for links to nothing.
    """
    if path.is_file():
        return
    if path.is_symlink() and not path.exists():
        raise UnreadableError("a link to nothing", "a link to a file that is there")
    raise UnreadableError(
        "a folder" if path.is_dir() else "no regular file (a pipe, a socket or a device)",
        "regular files",
    )


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file on disk (`File.lines`)."""
    return File.at(path).lines()


def stem(path: Path | PurePosixPath) -> str:
    """A file's name without its endings (`train.pubtator.txt` → `train`)."""
    return path.name.split(".")[0] or path.name


def _peek(stream: BinaryIO) -> bytes:
    return cast(io.BufferedReader, stream).peek(4)[:4]
