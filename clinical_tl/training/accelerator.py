"""What training runs on: Accelerate's view of devices and processes, and deterministic kernels."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from clinical_tl.errors import ConfigError

if TYPE_CHECKING:
    from accelerate import Accelerator

    from clinical_tl.training.config import TrainingConfig


def build_accelerator(
    config: TrainingConfig, folder: Path | None, precision: Literal["no", "bf16", "fp16"]
) -> Accelerator:
    """An accelerator with the trackers of `config`.

    Raises `ConfigError` for trackers without a folder.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    if config.trackers and folder is None:
        raise ConfigError(
            f"trackers={list(config.trackers)} write into output_dir, which is not set; name one, "
            "or leave the trackers out"
        )
    # Accelerate keeps the precision of a process's first accelerator for all later ones.
    AcceleratorState._reset_state()  # noqa: SLF001  (there is no public way)
    accelerator = Accelerator(
        mixed_precision=precision,
        log_with=list(config.trackers) or None,
        project_dir=None if folder is None else str(folder),
    )
    if config.trackers:
        simple = {
            name: value if isinstance(value, int | float | str) else str(value)
            for name, value in asdict(config).items()
            if name != "output_dir"
        }
        accelerator.init_trackers("trackers", config=simple)
    return accelerator


@contextmanager
def deterministic_kernels() -> Iterator[None]:
    """Deterministic kernels on a GPU (on CPUs the ones used here are)."""
    if not torch.cuda.is_available():
        yield
        return
    # cuBLAS asks for it, at its first use, to give the same sums every time.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    warn = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn)
