"""Files as numbered lines, plain or gzipped, with line ends and odd characters untouched."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO, cast

from clinical_tl.data.formats.problems import UnreadableError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BYTE_ORDER_MARK = "\ufeff"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")

# Notes shrink to a third or a tenth of their size, a table of one repeated note to a hundredth.
MOST_EXPANSION = 300
ALWAYS_ALLOWED_BYTES = 64 * 2**20
_CHUNK = 2**20


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


def check_expansion(packed: int, unpacked: int) -> None:
    """Makes sure that packed data is not made to fill the memory.

    Raises `UnreadableError` for more than `MOST_EXPANSION` times the packed size, in bytes, once
    that is more than `ALWAYS_ALLOWED_BYTES`.
    """
    if unpacked > max(ALWAYS_ALLOWED_BYTES, MOST_EXPANSION * packed):
        raise UnreadableError(
            f"packed data that becomes more than {unpacked // 2**20} MB from {packed} bytes",
            f"at most {MOST_EXPANSION} times the packed size (if the file is meant to be so, "
            "unpack it, e.g. with gunzip, and read what comes out)",
        )


def check_unpacked(packed: bytes) -> None:
    """Makes sure that zlib-packed bytes don't grow out of proportion (`check_expansion`).

    Raises `zlib.error` for what is not packed so.
    """
    stream = zlib.decompressobj()
    size, rest = 0, packed
    while rest and not stream.eof:
        size += len(stream.decompress(rest, _CHUNK))
        check_expansion(len(packed), size)
        rest = stream.unconsumed_tail


class _Unpacked(io.RawIOBase):
    """A gzip stream that ends in an error where it grows out of proportion."""

    def __init__(self, path: Path) -> None:
        self._packed = path.stat().st_size
        self._stream = gzip.GzipFile(path)
        self._read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        count = self._stream.readinto(buffer)
        self._read += count
        check_expansion(self._packed, self._read)
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()


def open_bytes(path: Path) -> BinaryIO:
    """Opens a file of text for reading; gunzips it if its name ends in `.gz`.

    Raises `UnreadableError` for what is no regular file, for UTF-16 and, while it is read, for a
    packed file that grows out of proportion.
    """
    check_regular(path)
    stream = io.BufferedReader(_Unpacked(path)) if path.suffix.lower() == ".gz" else path.open("rb")
    try:
        if stream.peek(2)[:2] in _UTF16_MARKS:
            raise UnreadableError(
                "UTF-16, as Excel saves 'Unicode text'", "UTF-8 (iconv -f utf-16 -t utf-8)"
            )
    except BaseException:
        stream.close()
        raise
    return cast(BinaryIO, stream)


def open_text(path: Path) -> TextIO:
    """Opens a text file with its line ends untouched.

    Bytes that are not UTF-8 become lone surrogates, so that one bad line spoils one note and
    not the file; `checks.note_problems` reports them. A leading byte-order mark is dropped.
    Raises as `open_bytes`.
    """
    return io.TextIOWrapper(
        open_bytes(path), encoding="utf-8-sig", errors="surrogateescape", newline=""
    )


def read_text(path: Path) -> str:
    """A whole text file, byte by byte as it is. Raises as `open_bytes`."""
    with open_bytes(path) as stream:
        return stream.read().decode("utf-8", "surrogateescape")


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    r"""Yields (line number from 1, line without its `\n` or `\r\n`).

    Only `\n` ends a line: `str.splitlines` would also break at U+2028, U+0085 and the like,
    which occur inside notes. Raises as `open_bytes`.
    """
    with open_bytes(path) as stream:
        for number, raw in enumerate(stream, 1):
            line = raw.decode("utf-8", "surrogateescape").removesuffix("\n").removesuffix("\r")
            yield number, line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line


def stem(path: Path) -> str:
    """A file's name without its endings (`train.pubtator.txt` → `train`)."""
    return path.name.split(".")[0] or path.name
