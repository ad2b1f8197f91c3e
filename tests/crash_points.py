"""Stops a writer before each of its file operations in turn, as a kill would.

A forked child does the writing; it ends without any clean-up (`os._exit`) when the operation
is about to happen. Operations are those that Python's audit events tell of: files opened for
writing, and everything made, renamed or removed.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from itertools import count

STOPPED, FAILED = 9, 1
_CHANGES = frozenset(
    {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate"}
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def every_crash_point(
    before: Callable[[], None], write: Callable[[], None], after: Callable[[], None]
) -> int:
    """Call `before`, a killed `write` and `after` for every operation of `write`; how many."""
    for k in count():
        before()
        code = _stopped_before(k, write)
        assert code in (0, STOPPED), f"the writer itself failed (operation {k})"
        try:
            after()
        except BaseException as error:
            error.add_note(f"after a kill before operation {k}")
            raise
        if code == 0:
            return k
    raise AssertionError


def _stopped_before(k: int, write: Callable[[], None]) -> int:
    process = os.fork()
    if process == 0:
        try:
            left = count(k, -1)

            def stop(event: str, args: tuple[object, ...]) -> None:
                changes = event in _CHANGES or (
                    event == "open" and isinstance(args[2], int) and args[2] & _WRITING
                )
                if changes and next(left) == 0:
                    os._exit(STOPPED)

            sys.addaudithook(stop)
            write()
        except BaseException:
            traceback.print_exc()
            os._exit(FAILED)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
