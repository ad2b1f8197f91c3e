"""Where models compute, how exactly, and how much at once: one policy for every way to get one."""

from __future__ import annotations

import logging
import os
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

import torch

from clinical_tl.errors import ConfigError, shown_value
from clinical_tl.network.precision import Precision
from clinical_tl.storage.processes import process_state

logger = logging.getLogger(__name__)

Autocast: TypeAlias = AbstractContextManager[Any]

# Padded tokens at once when reading: above these a CPU's caches thrash (at 8,192 tokens 0.6 of
# the speed at 1,024), below them a GPU waits for work.
CPU_TOKENS, ACCELERATOR_TOKENS = 1024, 8192
# Measured on a processor without bf16 instructions, one thread.
_EMULATED = "a training step takes some 11 times as long as in fp32 there, prediction 7 times"
_CPU_FLAGS = {"avx512_bf16", "amx_bf16", "bf16", "svebf16"}


def choose_device(device: str | torch.device | None = None) -> torch.device:
    """The device that was asked for; by default a GPU where there is one, as Accelerate finds it.

    Raises `ConfigError` for a name that torch does not know, or a device that is not there.
    """
    if device is None:
        found: torch.device = process_state().device
        return found
    try:
        chosen = torch.device(device)
        if chosen.type not in ("cpu", "meta"):
            torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(
            f"device={shown_value(str(device))} is not there ({type(error).__name__}); allowed: "
            "'cpu', 'cuda', 'cuda:1', 'mps', or None for a GPU where there is one"
        ) from error
    return chosen


def batch_tokens_for(device: torch.device) -> int:
    """Padded tokens that a model reads at once by default."""
    return CPU_TOKENS if device.type == "cpu" else ACCELERATOR_TOKENS


def has_native_bf16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 rather than emulating it."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and bool(_cpu_flags() & _CPU_FLAGS)


def resolve_precision(precision: Precision, device: torch.device) -> Literal["no", "bf16", "fp16"]:
    """The precision to compute in.

    `"auto"` is what `accelerate launch` was told, else bf16 where the device has instructions
    for it, else fp32. bf16 that would be emulated is warned of once.

    Raises `ConfigError` for fp16 without a GPU.
    """
    if precision == "auto":
        told = os.environ.get("ACCELERATE_MIXED_PRECISION", "")
        if told in ("no", "bf16", "fp16"):
            return resolve_precision(cast("Precision", told), device)
        native = has_native_bf16(device)
        if native:
            _say_native(str(device.type))
        return "bf16" if native else "no"
    if precision == "fp16" and device.type == "cpu":
        raise ConfigError("precision='fp16' needs a GPU; on a CPU use 'auto', 'bf16' or 'no'")
    if precision == "bf16" and not has_native_bf16(device):
        _warn_emulated(str(device.type))
    return precision


def autocast(precision: Literal["no", "bf16", "fp16"], device: torch.device) -> Autocast:
    """The context in which a model computes in a precision."""
    if precision == "no":
        return nullcontext()
    dtype = torch.bfloat16 if precision == "bf16" else torch.float16
    return torch.autocast(device.type, dtype=dtype)


def reading_precision(precision: str, device: torch.device) -> Autocast:
    """The context to predict in. Raises `ConfigError` for any but `auto`, `no` and `bf16`."""
    if precision not in ("auto", "no", "bf16"):
        raise ConfigError(
            f"precision {shown_value(precision)}: predict with 'auto', 'no' or 'bf16'"
        )
    resolved = resolve_precision(cast("Precision", precision), device)
    return autocast("no" if resolved == "fp16" else resolved, device)


@lru_cache(maxsize=8)
def _say_native(device: str) -> None:
    logger.info("precision='auto': bf16, for which this %s has instructions", device)


@lru_cache(maxsize=8)
def _warn_emulated(device: str) -> None:
    logger.warning(
        "precision='bf16': this %s has no instructions for it and emulates it: %s; "
        "'auto' chooses by the hardware",
        device,
        _EMULATED,
    )


@lru_cache(maxsize=1)
def _cpu_flags() -> frozenset[str]:
    """The processor's features as Linux names them; nothing where it does not say."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    lines = (line.partition(":") for line in text.splitlines())
    return frozenset(
        flag
        for name, _, value in lines
        if name.strip().lower() in ("flags", "features")
        for flag in value.split()
    )
