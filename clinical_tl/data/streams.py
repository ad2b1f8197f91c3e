"""Files as numbered lines, plain or gzipped, with line ends and odd characters untouched."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO, TextIO, cast

BYTE_ORDER_MARK = "\ufeff"


def open_bytes(path: Path) -> BinaryIO:
    """Opens a file for reading; gunzips it if its name ends in `.gz`."""
    if path.suffix == ".gz":
        return cast(BinaryIO, gzip.open(path, "rb"))
    return path.open("rb")


def open_text(path: Path) -> TextIO:
    """Opens a text file with its line ends untouched.

    Bytes that are not UTF-8 become lone surrogates, so that one bad line spoils one note and
    not the file; `checks.note_problems` reports them. A leading byte-order mark is dropped.
    """
    return TextIOWrapper(
        open_bytes(path), encoding="utf-8-sig", errors="surrogateescape", newline=""
    )


def decode(raw: bytes) -> str:
    """Bytes as text, whatever is not UTF-8 as lone surrogates."""
    return raw.decode("utf-8", "surrogateescape")


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    r"""Yields (line number from 1, line without its `\n` or `\r\n`).

    Only `\n` ends a line: `str.splitlines` would also break at U+2028, U+0085 and the like,
    which occur inside notes.
    """
    with open_bytes(path) as stream:
        for number, raw in enumerate(stream, 1):
            line = decode(raw).removesuffix("\n").removesuffix("\r")
            yield number, line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line


def stem(path: Path) -> str:
    """A file's name without its endings (`train.pubtator.txt` → `train`)."""
    return path.name.split(".")[0] or path.name
