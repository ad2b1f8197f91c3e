"""Keeps the log from saying a thing again and again."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_warnings() -> Iterator[None]:
    """Errors alone are logged: for what is done many times over, and once more in the end."""
    package = logging.getLogger("clinical_tl")
    level = package.level
    package.setLevel(logging.ERROR)
    try:
        yield
    finally:
        package.setLevel(level)
