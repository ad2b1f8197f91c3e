"""Paths as users give them."""

from __future__ import annotations

import os
from pathlib import Path

from clinical_tl.errors import ConfigError, shown_path

# Of most file systems, in bytes.
LONGEST_NAME = 255


def as_path(given: str | os.PathLike[str]) -> Path:
    """The path that was given.

    Raises `ConfigError` for what no file system has, such as a note's text: asking for it would
    end in an `OSError` that quotes it.
    """
    if not isinstance(given, str | os.PathLike):
        raise ConfigError(f"a {type(given).__name__} was given where a path belongs; give a path")
    path = Path(given)
    impossible = any(
        len(os.fsencode(part)) > LONGEST_NAME if _encodes(part) else True for part in path.parts
    )
    if impossible or any(char in str(path) for char in "\0\r\n"):
        raise ConfigError(
            f"{shown_path(path)}: no file or folder can have this name; give the path of one (and "
            "texts as a list: [text])"
        )
    return path


def _encodes(part: str) -> bool:
    try:
        os.fsencode(part)
    except UnicodeEncodeError:
        return False
    return True
