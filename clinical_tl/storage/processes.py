"""Several processes, one of which writes or decides."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from clinical_tl.errors import TrainingError

if TYPE_CHECKING:
    from accelerate import PartialState

Result = TypeVar("Result")


def process_state() -> PartialState:
    """Accelerate's view of the processes that were launched together, of which this is one.

    Asked for directly, it would not hear that `accelerate launch --cpu` was told, and take
    several processes that torchrun started on CPUs for one each.
    """
    import torch
    from accelerate import PartialState
    from accelerate.utils import parse_flag_from_env

    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    on_cpus = several and not torch.accelerator.is_available()
    return PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU") or on_cpus)


def on_main_process(work: Callable[[], Result]) -> Result:
    """Do something in the first process alone; all return, or raise, what it did there.

    The others wait. Alone, a process just does it. What comes back travels between processes:
    it must be something that pickle knows.
    """
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
