"""The notes that the release gate compares a model with."""

from __future__ import annotations

import clinical_tl as ctl


def gate_notes(
    corpus: str | None,
    train: str | None,
    held_out: str | None,
    *,
    format: str | None,
    columns: dict[str, str] | None,
    as_written: tuple[str, ...] = (),
    allow_implausible: bool = False,
) -> dict[str, ctl.Notes]:
    """The notes that the gate compares with, as its arguments: `train` and `held_out`."""
    notes: dict[str, ctl.Notes] = {}
    if corpus:
        splits = ctl.data.load_corpus(corpus)
        notes = {"train": splits["train"], "held_out": splits["test"]}
    for name, path in {"train": train, "held_out": held_out}.items():
        if path is not None:
            notes[name] = ctl.read_notes(
                path,
                format=format,
                columns=columns,
                as_written=as_written,
                allow_implausible=allow_implausible,
            )
    return notes
