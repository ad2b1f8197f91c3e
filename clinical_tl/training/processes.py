"""Several processes, one of which writes or decides."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any, TypeVar

from clinical_tl.errors import TrainingError

Result = TypeVar("Result")


def on_main_process(work: Callable[[], Result]) -> Result:
    """Do something in the first process alone; all return, or raise, what it did there.

    The others wait. Alone, a process just does it. What comes back travels between processes:
    it must be something that pickle knows.
    """
    from clinical_tl.models.device import process_state

    state = process_state()
    if state.num_processes == 1:
        return work()
    from accelerate.utils import broadcast_object_list

    outcome: list[Any] = [None, None]
    if state.is_main_process:
        try:
            outcome = [work(), None]
        except BaseException as error:
            # Nobody else would be told: they would wait for ever.
            broadcast_object_list([None, _portable(error)])
            raise
    broadcast_object_list(outcome)
    result, failure = outcome
    if failure is not None:
        raise failure
    found: Result = result
    return found


def _portable(error: BaseException) -> BaseException:
    """The error as other processes can have it."""
    try:
        copy: object = pickle.loads(pickle.dumps(error))  # noqa: S301  (its own dump)
    except Exception:
        copy = None
    if isinstance(copy, BaseException):
        return copy
    return TrainingError(f"the first process failed ({type(error).__name__}); it says why")
