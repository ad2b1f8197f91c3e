"""Match the labels of two corpora, and carry labels from source notes to target notes."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import clinical_tl as ctl

from .command_line import run


def main(
    source: str | None = None,
    target: str | None = None,
    source_split: str = "train",
    target_split: str = "test",
    field: Literal["label", "codes", "spans"] = "label",
    one_to_many: bool = False,
    distance: float | None = None,
    neighbours: int = 5,
    limit: int | None = None,
    encoder: str = "offline",
    cache: str | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """Match labels by their prototypes and notes by mutual neighbours; names are not looked at.

    Where both corpora use the same names (two splits of one corpus), the share of labels that
    find their own name says how far matching can be trusted.

    Args:
        source: the corpus that is labelled, by name, or "synthetic", the default.
        target: the corpus whose labels are to be understood; by default the source's.
        source_split: which part of the source (train, dev, test).
        target_split: which part of the target.
        field: which annotation: label, codes or spans.
        one_to_many: let a source label serve several target labels.
        distance: reject pairs farther apart; by default the median between source labels.
        neighbours: among how many nearest both notes must find each other.
        limit: use at most so many notes of each set, for a quick look.
        encoder: a folder, "hub:org/name" (a Hub id), or "offline".
        cache: folder for vectors; as confidential as the notes.
        seed: of the samples of examples.

    Returns:
        Counts and shares, name to value.
    """
    splits = ctl.note_splits(source, limit=limit)
    ours = splits[source_split]
    theirs = (ctl.note_splits(target, limit=limit) if target else splits)[target_split]
    matching = ctl.transfer.match_labels(
        ours, theirs, encoder,
        field=field, one_to_many=one_to_many, limit=distance, cache=cache, seed=seed,
    )  # fmt: skip
    print(ctl.display.format_table(matching.table()))
    accepted = [pair for pair in matching.pairs if pair.accepted]
    names = _labels(ours, field)
    shared = names & _labels(theirs, field)
    figures = {
        "target labels": float(len(matching.pairs) + len(matching.unmatched)),
        "matched": float(len(matching.pairs)),
        "accepted": float(len(accepted)),
        "own name": sum(p.target == p.source for p in matching.pairs) / max(len(shared), 1),
    }
    if field == "label":
        bare = [replace(note, label=None) for note in theirs]
        carried = ctl.transfer.match_notes(ours, bare, encoder, k=neighbours, cache=cache)
        gold = dict(zip(theirs["note_id"], theirs["label"], strict=True))
        right = sum(note.label == gold[note.note_id] for note in carried.notes)
        figures["notes labelled"] = len(carried.notes) / len(theirs)
        figures["labels right"] = right / max(len(carried.notes), 1)
    print(
        ctl.display.format_table(
            [{"figure": name, "value": value} for name, value in figures.items()]
        )
    )
    return figures


def _labels(notes: ctl.Notes, field: str) -> set[str]:
    """The labels of one kind that notes have."""
    found: set[str] = set()
    for note in notes:
        if field == "spans":
            found.update(span.label for span in note.spans or ())
        else:
            found.update(note.codes or () if field == "codes" else {note.label} - {None})
    return found


if __name__ == "__main__":
    run(main)
