"""What a format can't hold, counted while writing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from clinical_tl.schema import Note


class Losses:
    """Counts the notes written and what of them the format can't hold.

    Attributes:
        notes: how many notes have been written.
        counts: what is lost → how often.
    """

    def __init__(self) -> None:
        self.notes = 0
        self.counts: Counter[str] = Counter()

    def add(self, what: str, times: int = 1) -> None:
        """Counts a loss, `times` times."""
        if times:
            self.counts[what] += times

    def counted(self, notes: Iterable[Note]) -> Iterator[Note]:
        """Passes notes on, counting them."""
        for note in notes:
            self.notes += 1
            yield note

    def add_note_fields(self, note: Note) -> None:
        """Counts the fields that only the package's own format holds."""
        self.add("patient ids", note.patient_id is not None)
        self.add("labels", note.label is not None)
        self.add("codes (notes)", note.codes is not None)
        self.add("metadata (notes)", bool(note.metadata))
        self.add("scores", sum(span.score is not None for span in note.spans or ()))

    def __str__(self) -> str:
        return ", ".join(f"{count} {what}" for what, count in sorted(self.counts.items()))
