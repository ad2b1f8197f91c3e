"""Checks on the embeddings and settings of estimators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np

from clinical_tl.errors import ConfigError, TaskError, shown_value
from clinical_tl.estimators.features import Floats


def check_varied(matrix: Floats) -> None:
    """Raises `TaskError` where all notes have the same embedding: nothing can be estimated."""
    if not np.ptp(matrix, axis=0).any():
        raise TaskError(
            f"all {len(matrix)} notes have the same embedding of {matrix.shape[1]} feature(s); "
            "give notes that differ, or look at what embedded them"
        )


def check_at_least(least: int, **settings: int) -> None:
    """Raises `ConfigError` for the first setting that is no whole number from `least` on."""
    for name, value in settings.items():
        if not hasattr(value, "__index__") or value < least:
            raise ConfigError(
                f"{name}={shown_value(value)}; allowed: at least {least}, a whole number"
            )


def check_labels(labels: Sequence[object] | None, notes: int) -> None:
    """Raises `TaskError` for labels that are not one a note."""
    if labels is not None and len(labels) != notes:
        raise TaskError(f"{notes} notes have {len(labels)} labels; give one a note")


def check_method(method: str, allowed: Any) -> None:  # noqa: ANN401  (a Literal is no type)
    """Raises `ConfigError` for a method that is none of a `Literal`'s."""
    if method not in get_args(allowed):
        raise ConfigError(f"method {shown_value(method)}: choose one of {get_args(allowed)}")
