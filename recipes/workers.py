"""Independent runs side by side: on CPUs, two runs of one thread finish before one run of two."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import redirect_stdout
from multiprocessing.connection import Connection
from typing import Any

# For a training that is told to stop to finish its step and write its checkpoint.
GRACE_SECONDS = 60


def default_workers() -> int:
    """As many as there are cores to use, on a machine with a GPU one."""
    import torch

    return 1 if torch.cuda.is_available() else len(os.sched_getaffinity(0))


def run_side_by_side(
    work: Callable[..., Any], cells: Sequence[tuple[Any, ...]], workers: int = 0
) -> Iterator[tuple[int, Any]]:
    """Call `work(*cell)` for every cell; positions and results come as they are ready.

    With one worker (0: one a core, one on a GPU) the cells run in this process, in order.
    With more, each runs in a process of its own that gets its share of the cores; what it
    prints is kept together until it is done, and it shows no progress bars. A cell that fails
    does not stop the others: its error is raised when they are all done. When this process ends,
    however it does, the workers end too; a training among them first writes its checkpoint.

    Args:
        work: a function of a module; its arguments and result travel between processes.
        cells: the arguments of each call.
        workers: how many run at a time.
    """
    workers = min(workers or default_workers(), max(len(cells), 1))
    failure: BaseException | None = None
    if workers == 1:
        for position, cell in enumerate(cells):
            try:
                result = work(*cell)
            except (Exception, SystemExit) as error:
                failure = failure or error
                continue
            yield position, result
        if failure is not None:
            raise failure
        return
    threads = max(len(os.sched_getaffinity(0)) // workers, 1)
    # A forked child would inherit torch's thread pool without its threads.
    spawn = multiprocessing.get_context("spawn")
    # Only this process holds the writing end: a worker that reads its end has lost its parent.
    reader, writer = spawn.Pipe(duplex=False)
    with (
        reader,
        writer,
        ProcessPoolExecutor(
            workers, spawn, initializer=_start, initargs=(threads, reader), max_tasks_per_child=1
        ) as pool,
    ):
        waiting = {pool.submit(_call, work, cell): i for i, cell in enumerate(cells)}
        try:
            for future in as_completed(waiting):
                try:
                    result, printed = future.result()
                except (Exception, SystemExit) as error:
                    failure = failure or error
                    continue
                print(printed, end="", flush=True)
                yield waiting[future], result
        except BaseException:
            # Told to stop: begin no other cell, and let those that run stop as well.
            writer.close()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if failure is not None:
        raise failure


def _start(threads: int, parent: Connection) -> None:
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    # Read by OpenMP and BLAS when they are loaded, which is after this.
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)
    os.environ["TQDM_DISABLE"] = "1"


def _end_with(parent: Connection) -> None:
    """Wait for the parent's end, then stop this process: politely, and after a while anyhow."""
    try:
        parent.recv()
    except (EOFError, OSError):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE_SECONDS)
        os._exit(1)


def _call(work: Callable[..., Any], cell: tuple[Any, ...]) -> tuple[Any, str]:
    with redirect_stdout(io.StringIO()) as printed:
        result = work(*cell)
    return result, printed.getvalue()
