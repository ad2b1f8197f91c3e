"""The notes that the release gate compares a model with."""

from __future__ import annotations

import clinical_tl as ctl
from clinical_tl.data.read_options import ReadOptions


def gate_notes(
    corpus: str | None,
    train: str | None,
    held_out: str | None,
    read: ReadOptions,
) -> dict[str, ctl.Notes]:
    """The notes that the gate compares with, as its arguments: `train` and `held_out`."""
    notes: dict[str, ctl.Notes] = {}
    if corpus:
        splits = ctl.data.load_corpus(corpus)
        notes = {"train": splits["train"], "held_out": splits["test"]}
    return notes | read.read_each({"train": train, "held_out": held_out})
