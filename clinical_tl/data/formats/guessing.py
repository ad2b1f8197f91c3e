"""Which format an input has, by what it looks like and by its ending."""

from __future__ import annotations

import re
from collections.abc import Sequence

from clinical_tl.data.formats.files import File
from clinical_tl.data.formats.folders import Folder
from clinical_tl.data.formats.format import Format
from clinical_tl.data.formats.known import FORMATS
from clinical_tl.data.formats.sight import Sight
from clinical_tl.errors import ConfigError, shown_path, shown_value

# What Spark, Hadoop and macOS leave beside the parts.
_NO_PART = re.compile(r"(?:.*/)?_[^/]*|.*\.(?:crc|md5|sha256)|(?:.*/)?thumbs\.db", re.IGNORECASE)
_SPLITS = re.compile(r"(?:.*[/_.-])?(train|dev|test|val|valid|validation|eval)(?:[_.-].*)?")


def named_format(name: str) -> Format:
    """The format of a name. Raises `ConfigError` for one that isn't known, or isn't read."""
    if name not in FORMATS:
        raise ConfigError(f"format={shown_value(name)}; allowed: {readable()}")
    return readable_format(FORMATS[name], shown_value(name))


def readable() -> list[str]:
    """The names of the formats that are read."""
    return [known.name for known in FORMATS.values() if known.read is not None]


def readable_format(known: Format, what: str) -> Format:
    """The format itself. Raises `ConfigError` where it isn't read, with what to export instead."""
    if known.read is None:
        raise ConfigError(f"{what}: {known.title} is not read here; {known.export}")
    return known


def guess_format(file: File) -> Format:
    """The format of a file.

    Raises:
        ConfigError: nothing tells it, or it is one that isn't read; the message says what the
            file looks like and which argument to give.
    """
    sight = Sight.of(file)
    known = _looked(sight, is_folder=False)
    if known is not None:
        return readable_format(known, shown_path(file.name))
    endings = [(end, f) for f in FORMATS.values() for end in f.endings if not f.is_folder]
    for ending, known in endings:
        if sight.name.endswith(ending):
            return known
    raise _unknown(file.name, sight)


def guess_folder(folder: Folder, files: Sequence[File]) -> Format:
    """The format of a folder: one that is a folder, or that of all its files.

    Raises `ConfigError` as `guess_format`, and where its files are of several formats.
    """
    sight = Sight(folder.name.lower(), names=[file.name for file in files], files=files)
    known = _looked(sight, is_folder=True)
    if known is not None:
        return readable_format(known, shown_path(folder.name))
    own = parts(files)
    found: dict[str, str] = {}
    for file in own:
        try:
            found.setdefault(guess_format(file).name, file.name)
        except ConfigError:
            raise _unknown(folder.name, sight) from None
    if len(found) == 1:
        return FORMATS[next(iter(found))]
    if found:
        raise ConfigError(
            f"{shown_path(folder.name)}: files of {len(found)} formats "
            f"({', '.join(f'{shown_path(v)}: {k}' for k, v in found.items())}); read them "
            "apart, or say format='…' if all are of one"
        )
    raise _unknown(folder.name, sight)


def parts(files: Sequence[File]) -> list[File]:
    """The files of a folder that hold notes: not the marks that programs leave beside them."""
    return [file for file in files if not _NO_PART.fullmatch(file.name)]


def check_parts(name: str, files: Sequence[File]) -> None:
    """Makes sure that the parts of one input are not its splits.

    Raises `ConfigError` where their names say train and test, which should not become one.
    """
    found = {m[1]: file.name for file in files if (m := _SPLITS.fullmatch(file.name.lower()))}
    if len(found) > 1:
        raise ConfigError(
            f"{shown_path(name)}: files called {', '.join(sorted(found))}, which look like splits; "
            "read each by itself"
        )


def _looked(sight: Sight, *, is_folder: bool) -> Format | None:
    for known in FORMATS.values():
        if known.is_folder == is_folder and known.looks(sight):
            return known
    return None


def _unknown(name: str, sight: Sight) -> ConfigError:
    what, instead = sight.described()
    return ConfigError(
        f"{shown_path(name)}: looks like {what}, which tells no format: {instead}. "
        f"format='…' is one of {readable()}"
    )
