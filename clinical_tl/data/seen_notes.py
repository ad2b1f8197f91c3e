"""`SeenNotes`: the notes a model has learnt from, so that it is not scored on them again."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clinical_tl.data.traces import (
    FEWEST_WORDS,
    MOST_WORDS,
    NEAR_DUPLICATE,
    Forgetful,
    Traces,
    near_notes,
)
from clinical_tl.errors import NoteError, shown_ids
from clinical_tl.schema import Note

logger = logging.getLogger(__name__)

# Of notes with a short text of the other set's: more are no chance.
LARGEST_SHARE = 0.2


@dataclass(frozen=True)
class Leak:
    """What a set of notes shares with another, in counts of its notes (and of patients).

    `identical` and `near` have the text, or nearly the text, of a note of the other set, of at
    least 20 words; `short` have a shorter one's. `near` is `None` where it was not looked for.
    """

    notes: int
    patients: int
    of_patients: int
    identical: int
    near: int | None
    short: int

    @property
    def is_serious(self) -> bool:
        """Whether scores on the set would be too good."""
        few = self.short <= LARGEST_SHARE * self.notes
        return bool(self.patients or self.identical or self.near or not few)

    def __str__(self) -> str:
        near = "not compared" if self.near is None else str(self.near)
        return (
            f"{self.patients} patients ({self.of_patients} of {self.notes} notes), "
            f"{self.identical} identical texts and {near} near-identical ones of {FEWEST_WORDS} "
            f"words and more, {self.short} identical shorter ones"
        )


def require_apart(
    known: Traces, notes: Traces, *, known_as: str, notes_as: str, allow_leakage: bool
) -> Leak:
    """What `notes` share with `known`; counts that spoil scores are an error, others a warning.

    Patients, identical texts and near-identical ones (`check_leakage`'s threshold) are compared.
    Texts of fewer than 20 words are let pass where no more than a fifth of the notes have one.

    Args:
        known: of the notes that were learnt from.
        notes: of those to be scored on.
        known_as: what the first are, for messages ("training notes").
        notes_as: what the second are.
        allow_leakage: warn only.

    Raises:
        NoteError: patients or texts on both sides.
    """
    texts, patients = set(known.texts), set(known.patients) - {None}
    same = np.array([key in texts for key in notes.texts], dtype=np.bool_)
    whose = np.array([patient in patients for patient in notes.patients], dtype=np.bool_)
    long = notes.n_words >= FEWEST_WORDS
    near = None
    if int(known.n_words.sum()) + int(notes.n_words.sum()) > MOST_WORDS:
        logger.warning("%s and %s: too many words to look for near-duplicates", known_as, notes_as)
    elif known.shingles is not None and notes.shingles is not None:
        near = near_notes(known, notes, NEAR_DUPLICATE) & long & ~same
    leak = Leak(
        notes=len(notes),
        patients=len(patients & set(notes.patients)),
        of_patients=int(whose.sum()),
        identical=int((same & long).sum()),
        near=None if near is None else int(near.sum()),
        short=int((same & ~long).sum()),
    )
    if not leak.is_serious:
        if leak.short:
            logger.warning("the %s and the %s share %s", notes_as, known_as, leak)
        return leak
    if allow_leakage:
        logger.warning(
            "the %s and the %s share %s; scores on them are too good", notes_as, known_as, leak
        )
        return leak
    found = whose | same if near is None else whose | same | near
    raise NoteError(
        f"the {notes_as} and the {known_as} share {leak}, e.g. the notes "
        f"{shown_ids(np.array(notes.ids, dtype=object)[found])}; scores on them would be too good. "
        "Divide the notes by patient (split_notes), leave these out of one side, or pass "
        "allow_leakage=True, which marks the scores"
    )


@dataclass(frozen=True, eq=False, repr=False)
class SeenNotes(Forgetful):
    """Traces of the notes that a model was trained on, and of those it was tuned on."""

    train: Traces
    tuned: Traces | None = None

    @classmethod
    def of(
        cls,
        train: Sequence[Note],
        dev: Sequence[Note] | None,
        *,
        before: Sequence[SeenNotes | None] = (),
        allow_leakage: bool,
    ) -> tuple[SeenNotes, Leak | None]:
        """The notes of a training (and of those `before` it), and what dev shares with them.

        Raises `NoteError` where that is too much (`require_apart`).
        """
        learnt = Traces.of(train)
        for earlier in before:
            if earlier is not None:
                learnt = earlier.train + learnt.other_than(earlier.train)
        tuned = None if dev is None else Traces.of(dev)
        leak = None
        if tuned is not None:
            leak = require_apart(
                learnt,
                tuned,
                known_as="training notes",
                notes_as="dev notes",
                allow_leakage=allow_leakage,
            )
        return cls(learnt, tuned), leak

    def require_apart(self, notes: Sequence[Note], name: str, *, allow_leakage: bool) -> Leak:
        """What notes to be scored share with those seen; dev notes are those tuned on.

        Raises `NoteError` where that is too much.
        """
        known = self.train if name == "dev" or self.tuned is None else self.train + self.tuned
        return require_apart(
            known,
            Traces.of(notes),
            known_as="training notes" if known is self.train else "training and dev notes",
            notes_as=f"{name} notes",
            allow_leakage=allow_leakage,
        )
