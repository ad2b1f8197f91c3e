"""Where results go: tried before the work begins, and one error for whatever then can't be written.

The libraries that write files have no common error for a full disk: Python's is an `OSError`,
those written in Rust (safetensors, tokenizers) only say "(os error 28)".
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clinical_tl.errors import ClinicalTLError, OutputError

# A block of most file systems: less than this is no room.
_PROBE = b"\0" * 4096
_RUST_ERROR = re.compile(r"\(os error (\d+)\)")
_REASONS = {
    errno.ENOSPC: ("the disk is full", "make room, or name a place on another disk"),
    errno.EDQUOT: ("your quota of the disk is used up", "make room, or name another place"),
    errno.EFBIG: ("the file would be larger than allowed here", "raise the limit (ulimit -f)"),
    errno.EROFS: ("the file system is read-only", "name a place that can be written"),
    errno.EACCES: ("you have no right to write there", "name a folder of your own"),
    errno.EPERM: ("you have no right to write there", "name a folder of your own"),
    errno.ENOTDIR: ("a file stands where a folder should be", "name another place"),
    errno.EEXIST: ("a file stands where a folder should be", "name another place"),
    errno.EISDIR: ("a folder stands where a file should be", "name another place"),
    errno.ELOOP: ("its symbolic links lead in a circle", "name another place"),
    errno.ENAMETOOLONG: ("the name is too long", "name a shorter one"),
    errno.EBUSY: (
        "it is a mount point, which can't be replaced as a whole",
        "name a folder inside it",
    ),
}


def require_folder(folder: str | Path) -> Path:
    """Make a folder that results are written into, before they are computed.

    Returns the place that is written: symbolic links are followed. Raises `OutputError` where
    it is something else, can't be written, or has no room.
    """
    target = real_place(Path(folder))
    with writing(Path(folder)):
        if target.exists() and not target.is_dir():
            raise _refusal(errno.ENOTDIR, target)
        target.mkdir(parents=True, exist_ok=True)
        _probe(target)
    return target


def require_replaceable(folder: str | Path) -> Path:
    """The same for a folder that is to be made, or replaced as a whole."""
    target = folder_place(folder)
    with writing(Path(folder)):
        _probe(target.parent)
    return target


def require_file(file: str | Path) -> Path:
    """The same for a file."""
    target = file_place(file)
    with writing(Path(file)):
        _probe(target.parent)
    return target


def folder_place(folder: str | Path) -> Path:
    """Where a folder is made or replaced, links followed; the folders above it are made.

    Raises `OutputError` where something else stands there, or what can't be replaced.
    """
    target = real_place(Path(folder))
    with writing(Path(folder)):
        if target.exists() and not target.is_dir():
            raise _refusal(errno.ENOTDIR, target)
        if os.path.ismount(target):
            raise _refusal(errno.EBUSY, target)
        target.parent.mkdir(parents=True, exist_ok=True)
    return target


def file_place(file: str | Path) -> Path:
    """The same for a file."""
    target = real_place(Path(file))
    with writing(Path(file)):
        if target.is_dir():
            raise _refusal(errno.EISDIR, target)
        if target.exists() and not target.is_file():
            raise OutputError(f"{file} is no plain file (a device, a pipe); name another one")
        target.parent.mkdir(parents=True, exist_ok=True)
    return target


def real_place(path: Path) -> Path:
    """What a path means once its symbolic links are followed; it need not exist."""
    with writing(path):
        try:
            return path.resolve()
        except RuntimeError as error:  # What Python 3.11 and 3.12 make of a circle.
            raise _refusal(errno.ELOOP, path) from error


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turns whatever a file system refuses meanwhile into an `OutputError` about `target`."""
    try:
        yield
    except ClinicalTLError:
        raise
    except Exception as error:
        number = _error_number(error)
        if number is None or _concerns_another(error, target):
            raise
        reason, mend = _REASONS.get(
            number, (os.strerror(number).lower(), "look at the disk, or name another place")
        )
        raise OutputError(
            f"{target} can't be written: {reason}. What was there before is as it was. To mend: "
            f"{mend}, and do the same again; a training goes on from its last checkpoint"
        ) from error


def _probe(folder: Path) -> None:
    if shutil.disk_usage(folder).free == 0:
        raise _refusal(errno.ENOSPC, folder)
    # Rights alone don't say it: there are quotas, read-only mounts, other systems' rules.
    with tempfile.TemporaryFile(dir=folder) as probe:
        probe.write(_PROBE)
        probe.flush()
        os.fsync(probe.fileno())


def _refusal(number: int, place: Path) -> OSError:
    return OSError(number, os.strerror(number), str(place))


def _error_number(error: Exception) -> int | None:
    if isinstance(error, OSError):
        return error.errno
    found = _RUST_ERROR.search(str(error))
    return int(found[1]) if found else None


def _concerns_another(error: Exception, target: Path) -> bool:
    """Whether it was met somewhere else, e.g. in reading what is to be written."""
    name = getattr(error, "filename", None)
    if not isinstance(name, str | os.PathLike):
        return False
    place = Path(os.fsdecode(name)).absolute()
    # Folders above the target that can't be made are its affair as well.
    return not any(
        place.is_relative_to(above) or above.is_relative_to(place)
        for above in (target.parent.absolute(), Path(os.path.realpath(target.parent)))
    )
