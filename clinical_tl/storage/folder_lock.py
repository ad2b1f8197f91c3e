"""One run a folder: the second is told whose it is. The lock dies with its process."""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from clinical_tl.errors import OutputError
from clinical_tl.storage.output import require_folder
from clinical_tl.storage.replacement import replace_text, sweep

logger = logging.getLogger(__name__)

LOCK_FILE = ".lock"
HOLDER_FILE = ".holder.json"


@contextmanager
def holding(folder: str | Path) -> Iterator[Path]:
    """Keep every other run out of a folder, which is made if need be, during the block.

    Drafts that killed processes left in it are removed. Raises `OutputError`, which names
    the holder, where another run is at work there, or where it can't be written.
    """
    place = require_folder(folder)
    lock = FileLock(place / LOCK_FILE)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise OutputError(
            f"{folder} is in use by another run: {_holder(place)}. Wait for its end, stop it, or "
            "name another folder; nothing in the folder need be removed"
        ) from None
    except (OSError, NotImplementedError) as error:
        # Some network file systems have no locks.
        logger.warning(
            "%s can't be locked (%s): start no second run there", folder, type(error).__name__
        )
    try:
        row = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        replace_text(place / HOLDER_FILE, json.dumps(row) + "\n")
        sweep(place)
        yield place
    finally:
        with suppress(OSError):
            (place / HOLDER_FILE).unlink(missing_ok=True)
        lock.release()


def _holder(place: Path) -> str:
    try:
        row = json.loads((place / HOLDER_FILE).read_text(encoding="utf-8"))
        return f"process {row['pid']} on {row['host']}, since {row['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "a process that has just begun"
