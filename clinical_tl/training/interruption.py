"""SIGTERM and Ctrl-C in training: the step is finished and a checkpoint written before it ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class TrainingInterrupted(KeyboardInterrupt):
    """Training that was told to stop, and has; its checkpoint is written.

    A `KeyboardInterrupt`, so that nothing that handles errors takes it for one and goes on.
    `exit_code` is what shells give a process that ends so: 130 (Ctrl-C), 143 (SIGTERM).
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message, exit_code)
        self.message, self.exit_code = message, exit_code

    def __str__(self) -> str:
        return self.message


class Interruption:
    """Notes signals while it is entered; a second one acts at once, as it would have outside.

    Only the main thread can; elsewhere, and without a folder for a checkpoint, signals act as
    ever. `agree` tells of several processes (then `alone` is false) whether any was told to stop.
    A signal that comes too late to stop training is passed on at its end.
    """

    def __init__(
        self, folder: Path | None, agree: Callable[[bool], bool], *, alone: bool = True
    ) -> None:
        self._folder, self._agree, self._alone = folder, agree, alone
        self._received: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}
        self._may_leave = False

    def __enter__(self) -> Self:
        if self._folder is not None and threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()
        if self._received is not None and kind is None:
            raise TrainingInterrupted(
                f"stopped by {self._received.name} when training was finished; its checkpoint is "
                f"in {self._folder}: run the same again, and it goes on from there",
                128 + self._received,
            )

    def asked(self) -> bool:
        """Whether training is to stop here; every process must ask at the same step."""
        return self._folder is not None and self._agree(self._received is not None)

    def stop(self, step: int, of: int) -> None:
        """End the training, whose checkpoint is written. Raises `TrainingInterrupted`."""
        number = self._received or signal.SIGTERM
        raise TrainingInterrupted(
            f"stopped by {number.name} after step {step} of {of}; the checkpoint is in "
            f"{self._folder}: run the same again, and it goes on from there",
            128 + number,
        )

    @contextmanager
    def leaving(self, save: Callable[[], None], step: int, of: int) -> Iterator[None]:
        """A block that changes nothing a checkpoint holds: a signal ends it where it is."""
        if self.asked():
            save()
            self.stop(step, of)
        self._may_leave = self._alone and bool(self._before)
        try:
            yield
        except _Left:
            save()
            self.stop(step, of)
        finally:
            self._may_leave = False

    def _restore(self) -> None:
        for number, handler in self._before.items():
            # None: a handler that was not set from Python can't be set again.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._received is not None:
            self._restore()
            signal.raise_signal(number)
            return
        self._received = signal.Signals(number)
        if self._may_leave:
            self._may_leave = False
            raise _Left


class _Left(BaseException):
    """Carries a signal out of a block that may be left."""
