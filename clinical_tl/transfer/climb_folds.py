"""The notes of a climb of the ladder in folds, and with dev notes for its winner.

What belongs together, a patient's notes and copies of a text, is on one side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from clinical_tl.data.splits import split_notes
from clinical_tl.data.ties import related_notes
from clinical_tl.errors import NoteError, TaskError

if TYPE_CHECKING:
    from clinical_tl.schema import Note

FEWEST_FOR_DEV = 60
"""Of fewer notes none are set aside as dev notes: they would choose by chance."""
DEV_SHARE = 0.15


def climb_folds(notes: Sequence[Note], folds: int, seed: int) -> list[Sequence[Note]]:
    """The notes in folds of like size and labels; fewer folds where the notes are few."""
    for wanted in range(min(folds, len(set(related_notes(notes).tolist()))), 1, -1):
        try:
            sides = split_notes(
                notes,
                fractions={f"fold {i + 1}": 1 / wanted for i in range(wanted)},
                unknown="alone",
                seed=seed,
                tolerance=1.0,
            )
        except NoteError:
            # What belongs together is too large, or near copies tie more than patients do.
            continue
        return list(sides.values())
    raise TaskError(
        f"the {len(notes)} training notes make no two folds, as a patient's notes and copies of a "
        "text stay together; give notes of more patients"
    )


def with_dev(
    notes: Sequence[Note], dev: Sequence[Note] | None, seed: int
) -> tuple[Sequence[Note], Sequence[Note] | None]:
    """The notes to fit the winner on, and those that choose its epochs and thresholds."""
    if dev is not None or len(notes) < FEWEST_FOR_DEV:
        return notes, dev
    try:
        sides = split_notes(
            notes,
            fractions={"train": 1 - DEV_SHARE, "dev": DEV_SHARE},
            unknown="alone",
            seed=seed,
            tolerance=1.0,
        )
    except NoteError:
        # Notes of so few patients have no part of about this size.
        return notes, None
    return sides["train"], sides["dev"]
