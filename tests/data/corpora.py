"""Where the real corpora lie; tests skip where they don't."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def corpus(name: str) -> Path:
    folder = Path(os.environ.get("CLINICAL_TL_CORPORA", "../shared/data"))
    path = ROOT / folder / name
    if not path.exists():
        pytest.skip(f"the corpus {name} is not here (set CLINICAL_TL_CORPORA)")
    return path
