"""Files and folders that are there as a whole or not at all, whenever the process is killed.

What is new is written beside under a name of its own, brought to the disk (fsync) and swapped
in by renaming. A file that exists is replaced in one step. A folder can't be: it is renamed
aside (`.old`), the new one takes its place, then the old one goes. A kill between the two
renames leaves the old folder aside, whole, where `whole_folder` finds it.

Names say whose they are: `.draft-<machine>-<process>-<number>-<name>` (or `.old-…`). Drafts of
processes that live no more are removed when something is written beside them again.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from clinical_tl.storage.output import file_place, folder_place, writing

logger = logging.getLogger(__name__)

_DRAFT, _ASIDE = "draft", "old"
_NAME = re.compile(r"\.(draft|old)-([0-9a-f]{8})-(\d+)-[0-9a-f]{8}-(.+)", re.DOTALL)
_LONGEST_NAME = 120
# Whether a process of another machine lives can't be seen; none writes on a draft for longer.
_ABANDONED_SECONDS = 24 * 3600
# Two renames take microseconds.
_SWAP_SECONDS = 2.0
_SWAPS = 100
# Beyond so many files one sync of the whole system is faster.
_SYNCED_ONE_BY_ONE = 64
_live: set[str] = set()


@contextmanager
def replacing_file(file: str | Path, *, keep: Path | None = None) -> Iterator[Path]:
    """The path of a draft to write, which becomes `file` at the end of the block.

    After an error or a kill `file` is as it was; symbolic links are written through. With
    `keep` the unfinished draft of a block that failed gets that name.

    Raises `OutputError` where the file system refuses.
    """
    target = file_place(file)
    with writing(Path(file)):
        _sweep(target)
        draft = _beside(target, _DRAFT)
        try:
            yield draft
            _sync_file(draft)
            with suppress(FileNotFoundError):
                shutil.copymode(target, draft)
            draft.replace(target)
            _sync_folder(target.parent)
            if keep is not None:
                keep.unlink(missing_ok=True)
        except BaseException:
            if keep is not None and draft.exists() and draft.stat().st_size:
                draft.replace(keep)
                logger.warning("%s is unfinished; what there is of it is %s", target, keep)
            draft.unlink(missing_ok=True)
            raise
        finally:
            _live.discard(draft.name)


@contextmanager
def replacing_folder(folder: str | Path) -> Iterator[Path]:
    """The path of an empty folder to fill, which becomes `folder` at the end of the block.

    After an error or a kill the earlier folder is as it was, or aside for `whole_folder`.

    Raises `OutputError` where the file system refuses.
    """
    target = folder_place(folder)
    with writing(Path(folder)):
        whole_folder(target)
        _sweep(target)
        draft = _beside(target, _DRAFT)
        try:
            draft.mkdir()
            yield draft
            _sync_tree(draft)
            with suppress(FileNotFoundError):
                shutil.copymode(target, draft)
            _swap(draft, target)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        finally:
            _live.discard(draft.name)


def replace_text(file: str | Path, text: str) -> Path:
    """Write a text file, whole or not at all; returns it."""
    with replacing_file(file) as draft:
        draft.write_text(text, encoding="utf-8", newline="\n")
    return Path(file)


def whole_folder(folder: Path) -> Path:
    """The folder; if a kill left it aside in the middle of a swap, it is put back first.

    Where it can't be put back (a read-only disk) the folder aside is returned.
    """
    try:
        target = Path(os.path.realpath(folder))
    except ValueError:  # No path at all.
        return folder
    deadline = time.monotonic() + _SWAP_SECONDS
    while not os.path.lexists(target):
        aside = _leftovers(target.parent, _ASIDE, target)
        if not aside:
            return folder
        if any(map(_is_alive, aside)) and time.monotonic() < deadline:
            time.sleep(0.01)
            continue
        newest = max(aside, key=lambda path: path.stat().st_mtime_ns)
        try:
            newest.rename(target)
        except OSError:
            return folder if target.exists() else newest
        _sync_folder(target.parent)
    return folder


def sweep(folder: Path) -> None:
    """Remove the drafts in a folder that processes which live no more have left."""
    for path in _leftovers(folder, _DRAFT):
        if not _is_alive(path):
            shutil.rmtree(path, ignore_errors=True)
            with suppress(OSError):
                path.unlink(missing_ok=True)


def discard(folder: Path) -> None:
    """Remove a folder so that no kill leaves half of it under its name."""
    doomed = _beside(folder, _DRAFT)
    try:
        folder.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)
    except FileNotFoundError:
        return
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        _live.discard(doomed.name)


def _swap(draft: Path, target: Path) -> None:
    for _ in range(_SWAPS):
        aside = _beside(target, _ASIDE)
        try:
            with suppress(FileNotFoundError):
                target.rename(aside)
            draft.rename(target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                with suppress(FileNotFoundError):
                    aside.rename(target)
                raise
            # Another process has put its own there meanwhile: replace that.
            _remove_aside(aside, target)
            continue
        finally:
            _live.discard(aside.name)
        _sync_folder(target.parent)
        _remove_aside(aside, target)
        return
    raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))


def _remove_aside(aside: Path, target: Path) -> None:
    # Under a draft's name: half of it must never pass for the old folder.
    doomed = _beside(target, _DRAFT)
    with suppress(FileNotFoundError):
        aside.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)
    _live.discard(doomed.name)


def _sweep(target: Path) -> None:
    sweep(target.parent)
    if os.path.lexists(target):
        for path in _leftovers(target.parent, _ASIDE, target):
            if not _is_alive(path):
                _remove_aside(path, target)


def _beside(target: Path, kind: str) -> Path:
    owner = f"{_machine()}-{os.getpid()}-{secrets.token_hex(4)}"
    path = target.with_name(f".{kind}-{owner}-{_label(target)}")
    _live.add(path.name)
    return path


def _label(target: Path) -> str:
    """The name, or what stands for a long one; it keeps its ending, which writers look at."""
    name = target.name
    if len(os.fsencode(name)) <= _LONGEST_NAME:
        return name
    return f"{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}{target.suffix[:10]}"


def _leftovers(folder: Path, kind: str, target: Path | None = None) -> list[Path]:
    """Drafts, or folders set aside, in a folder: all of them, or those of one target."""
    try:
        names = {path: _NAME.fullmatch(path.name) for path in folder.iterdir()}
    except (OSError, ValueError):
        return []
    return [
        path
        for path, found in names.items()
        if found and found[1] == kind and (target is None or found[4] == _label(target))
    ]


def _is_alive(path: Path) -> bool:
    """Whether the process that a leftover is named after may still be at work on it."""
    found = _NAME.fullmatch(path.name)
    if found and found[2] == _machine() and os.name == "posix":
        process = int(found[3])
        if process == os.getpid():
            return path.name in _live
        try:
            os.kill(process, 0)
        except (ProcessLookupError, OverflowError):
            return False
        except PermissionError:
            return True
        return True
    with suppress(OSError):
        return time.time() - path.stat().st_mtime < _ABANDONED_SECONDS
    return False


@cache
def _machine() -> str:
    """Eight hex digits for where process numbers mean the same: machine, start and container."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8]


def _sync_tree(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    if len(files) > _SYNCED_ONE_BY_ONE and hasattr(os, "sync"):
        os.sync()
        return
    for file in files:
        _sync_file(file)
    for below in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        _sync_folder(below)


def _sync_file(file: Path) -> None:
    number = os.open(file, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _sync_folder(folder: Path) -> None:
    # Not every system has folders that can be synced; a file that can't be is another matter.
    with suppress(OSError):
        _sync_file(folder)
