"""`contradictions`: texts that occur more than once and are annotated differently each time.

A model is given the text alone: what differs between copies of it nobody can learn.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from clinical_tl.data.traces import (
    FEWEST_WORDS,
    NEAR_DUPLICATE,
    Traces,
    near_groups,
    text_key,
)
from clinical_tl.display.discreet import Discreet
from clinical_tl.errors import shown_ids
from clinical_tl.schema import Note

# Characters of all notes together: their runs of words are compared in about half a second.
MOST_COMPARED = 6_000_000
# From this share of the texts on, and so many, it is no longer a matter of single mistakes.
MANY, FEWEST_OF_MANY = 0.1, 10


@dataclass(frozen=True, eq=False, repr=False)
class Contradictions(Discreet):
    """Copies of a text that are annotated differently, in counts; never any text.

    Attributes:
        texts: how many of the distinct texts are annotated in two or more ways.
        of_texts: how many distinct texts there are.
        ids: of the notes that have one of those texts.
        near_ids: of other notes, with nearly the text of one that is annotated differently
            (`check_leakage`'s threshold, from 20 words on), where they were looked for.
        agreeable: with how many notes a model could agree at most, as it must say the same of
            copies.
        of_notes: how many notes there are.
    """

    texts: int
    of_texts: int
    ids: tuple[str, ...]
    near_ids: tuple[str, ...]
    agreeable: int
    of_notes: int

    def __bool__(self) -> bool:
        return bool(self.ids or self.near_ids)

    def __str__(self) -> str:
        ids = shown_ids((*self.ids, *self.near_ids))
        if not self.texts:
            return (
                f"{len(self.near_ids)} of {self.of_notes} notes have nearly the text of another "
                f"that is annotated differently, e.g. {ids}. Look at them, and mend what is wrong"
            )
        near = f" ({len(self.near_ids)} more notes have nearly the text of another such)"
        mend = "Mend them, or leave them out"
        if self.texts >= max(MANY * self.of_texts, FEWEST_OF_MANY):
            mend = (
                "So often that a text seems to have several labels at once: many labels a note, "
                "not one"
            )
        return (
            f"{self.texts} of {self.of_texts} distinct texts carry two or more different "
            f"annotations, in {len(self.ids)} of {self.of_notes} notes"
            f"{near if self.near_ids else ''}, e.g. {ids}; no model can agree with more than "
            f"{self.agreeable} of the notes. {mend}"
        )


def contradictions(
    notes: Sequence[Note], said: Callable[[Note], Hashable], *, offsets: bool = False
) -> Contradictions:
    """Compares what is `said` of notes that share a text.

    Texts are compared as `check_leakage` does, nearly identical ones only where all together are
    not too long for it to be quick. With `offsets`, of which copies with another blank have
    others, they are compared character by character.

    Example:
        >>> notes = [Note("a", "Chest pain.", label="ill"), Note("b", "chest  pain.", label="well")]
        >>> found = contradictions(notes, lambda note: note.label)
        >>> found.texts, found.ids, found.agreeable
        (1, ('a', 'b'), 1)
    """
    keys: list[Hashable] = [note.text if offsets else text_key(note.text) for note in notes]
    same, near = _together(keys), list[list[int]]()
    if not offsets and sum(len(note.text) for note in notes) <= MOST_COMPARED:
        near = _together(near_groups(Traces.of(notes), NEAR_DUPLICATE, fewest_words=FEWEST_WORDS))
    answers = {row: said(notes[row]) for rows in (*same, *near) for row in rows}
    counts = [(rows, Counter(answers[row] for row in rows)) for rows in same]
    opposed = [(rows, found) for rows, found in counts if len(found) > 1]
    known = {row for rows, _ in opposed for row in rows}
    nearly = {row for rows in near if len({answers[row] for row in rows}) > 1 for row in rows}
    return Contradictions(
        texts=len(opposed),
        of_texts=len(set(keys)),
        ids=tuple(notes[row].note_id for row in sorted(known)),
        near_ids=tuple(notes[row].note_id for row in sorted(nearly - known)),
        agreeable=len(notes) - sum(len(rows) - max(found.values()) for rows, found in opposed),
        of_notes=len(notes),
    )


def annotation_of(note: Note, field: str) -> Hashable:
    """What a field says, without regard to order, repetition and the ids of mentions."""
    value = getattr(note, field)
    if field == "spans":
        return None if value is None else frozenset((*s.key, s.fragments) for s in value)
    return frozenset(value) if isinstance(value, tuple) else str(value)


def _together(keys: Sequence[Hashable | None]) -> list[list[int]]:
    """The rows that share a key, of each key that several have."""
    rows: dict[Hashable, list[int]] = defaultdict(list)
    for row, key in enumerate(keys):
        if key is not None:
            rows[key].append(row)
    return [own for own in rows.values() if len(own) > 1]
