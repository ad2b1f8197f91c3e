"""Encoders and notes that many tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from clinical_tl.data.synthetic import generate_notes
from clinical_tl.network.encoder import OFFLINE_PACKAGE
from tests.tiny_encoders import write_encoder

# What a run computes must not depend on whether the machine at hand has bf16 instructions.
os.environ["ACCELERATE_MIXED_PRECISION"] = "no"

# Machines differ in speed by an order of magnitude; CI draws the same examples every time.
settings.register_profile("project", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("project")


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes minutes begins first: the other workers then share all the rest."""
    slow = (
        "tests/test_notebooks.py",
        "tests/test_readme.py",
        "tests/test_docs.py",
        "tests/recipes/",
    )
    items.sort(key=lambda item: not item.nodeid.startswith(slow))
