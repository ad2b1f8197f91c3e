"""Packed files: `.gz`, `.bz2`, `.xz` and `.zst`, and the members of a `.zip`."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

from clinical_tl.data.formats.problems import UnreadableError
from clinical_tl.errors import ConfigError, shown_path

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# Notes shrink to a third or a tenth of their size, a table of one repeated note to a hundredth.
MOST_EXPANSION = 300
ALWAYS_ALLOWED_BYTES = 64 * 2**20
_CHUNK = 2**20


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


def _unzstd(stream: BinaryIO) -> BinaryIO:
    import pyarrow as pa

    return cast(BinaryIO, pa.CompressedInputStream(stream, "zstd"))


UNPACKERS: dict[str, Callable[[BinaryIO], BinaryIO]] = {
    ".gz": lambda stream: cast(BinaryIO, gzip.GzipFile(fileobj=stream)),
    ".bz2": lambda stream: cast(BinaryIO, bz2.BZ2File(stream)),
    ".xz": lambda stream: cast(BinaryIO, lzma.LZMAFile(stream)),  # noqa: SIM115  (`Unpacked` closes it)
    ".zst": _unzstd,
}
"""Ending → what unpacks a stream of bytes."""
PACKED = ".gz"
"""The ending of what is written packed, where a writer can."""


def check_written_name(path: Path, format_name: str, *, packs: bool) -> None:
    """Makes sure that no file of a packed name holds unpacked bytes.

    Args:
        path: what is to be written.
        format_name: as what.
        packs: whether its writer packs what ends in `.gz`.

    Raises:
        ConfigError: an ending of packed files that this is not packed as.
    """
    name = path.name.lower()
    ending = next(filter(name.endswith, (*UNPACKERS, ".zip")), None)
    if ending is not None and not (packs and ending == PACKED):
        raise ConfigError(
            f"{shown_path(path.name)}: {format_name} is not written packed as {ending}; name the "
            f"file without it{f', or with {PACKED}' if packs else ' and pack it afterwards'}"
        )


@contextmanager
def packed_output(path: Path) -> Iterator[BinaryIO]:
    """A stream into a file, gzipped if its name ends in `.gz`.

    The same bytes give the same file: the gzip header carries neither time nor name.
    """
    with path.open("wb") as raw:
        if path.suffix.lower() == PACKED:
            with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as stream:
                yield cast(BinaryIO, stream)
        else:
            yield raw


class _Closable(Protocol):
    def close(self) -> None: ...


class _Readable(_Closable, Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class Unpacked(io.RawIOBase):
    """A stream that comes out of a packed one, and ends in an error where it grows too large.

    Args:
        stream: what comes out.
        packed: how many bytes went in.
        beneath: the packed stream, closed with this one.
    """

    def __init__(self, stream: _Readable, packed: int, beneath: _Closable | None = None) -> None:
        self._stream = stream
        self._packed = packed
        self._beneath = beneath
        self._read = 0

    def readable(self) -> bool:
        """It can be read."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Reads what fits; raises `UnreadableError` once it is too much."""
        view = memoryview(buffer).cast("B")
        part = self._stream.read(len(view))
        view[: len(part)] = part
        self._read += len(part)
        check_expansion(self._packed, self._read)
        return len(part)

    def close(self) -> None:
        """Closes both streams."""
        self._stream.close()
        if self._beneath is not None:
            self._beneath.close()
        super().close()
