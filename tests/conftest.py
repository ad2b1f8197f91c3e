"""Encoders and notes that many tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from clinical_tl.data.synthetic import generate_notes
from clinical_tl.models.encoder import OFFLINE_PACKAGE
from tests.tiny_encoders import write_encoder


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random two-layer BERT with a WordPiece tokenizer."""
    return write_encoder(tmp_path_factory.mktemp("tiny"), "bert")


@pytest.fixture(scope="session")
def synthetic_notes():
    """Forty short synthetic notes."""
    return generate_notes(40, seed=3, words=(30, 120))


@pytest.fixture(scope="session")
def offline_encoder() -> str:
    """The real pretrained encoder; skips where its package is not installed."""
    pytest.importorskip(OFFLINE_PACKAGE, reason="the extra [offline] is not installed")
    return "offline"
