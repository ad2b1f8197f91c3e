"""`config.yaml`: what the run that made a model was called with, beside the model.

It names files of this machine, so it is no part of the model: `task.json` does not declare it,
and no push sends it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

SETTINGS_FILE = "config.yaml"
_running: ContextVar[str | None] = ContextVar("settings of the run", default=None)


@contextmanager
def run_with(settings: str | None) -> Iterator[None]:
    """Every model that is saved meanwhile gets these settings beside it; none with `None`."""
    token = _running.set(settings)
    try:
        yield
    finally:
        _running.reset(token)


def write_settings(folder: Path) -> None:
    """Write the settings of the run that this is, if it is one, into a model's new folder."""
    settings = _running.get()
    if settings is not None:
        (folder / SETTINGS_FILE).write_text(settings, encoding="utf-8")
