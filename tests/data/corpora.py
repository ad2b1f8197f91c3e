"""Where the real corpora lie; tests skip where they don't, or where nobody says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from clinical_tl.data.corpora import VARIABLE


def corpus(name: str) -> Path:
    """The corpus' folder, as the package looks for it."""
    named = os.environ.get(VARIABLE)
    if not named:
        pytest.skip(f"needs the corpus {name}, and {VARIABLE} names no folder (the Makefile does)")
    path = Path(named) / name
    if not path.exists():
        pytest.skip(f"the corpus {name} is not in the folder that {VARIABLE} names")
    return path
