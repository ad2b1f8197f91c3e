"""What is wrong with an input: gathered while reading, reported once at the end."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from clinical_tl.data.checks import doubts, note_problems
from clinical_tl.data.notes import tidied
from clinical_tl.errors import (
    ConfigError,
    Fault,
    FaultyNotesError,
    NoteError,
    printable,
    shown_id,
)
from clinical_tl.schema import Note

Duplicates = Literal["fault", "first", "number"]

# A file of a million faulty records must not fill the memory with what is wrong with each.
KEPT_FAULTS = 10_000


class UnreadableError(NoteError):
    """A file or a record that can't be read for a reason that is known.

    `found` and `allowed` are those of a fault: they hold no text of a note.
    """

    def __init__(self, found: str, allowed: str) -> None:
        super().__init__(f"{found}; allowed: {allowed}")
        self.found = found
        self.allowed = allowed


@dataclass(frozen=True)
class Place:
    """Where in an input something stands: a file, a line in it (from 1), a note."""

    file: str
    line: int | None = None
    note_id: str | None = None

    def at(self, line: int) -> Place:
        """Another line of the same note."""
        return replace(self, line=line)

    def __str__(self) -> str:
        line = "" if self.line is None else f":{self.line}"
        note = "" if self.note_id is None else f" (note {shown_id(self.note_id)})"
        return f"{self.file}{line}{note}"


class Faults:
    """Collects the faults of one input and lets the sound notes through.

    A reader gives each record to `reading`, which does the rest. Its length is the number of
    faults found, kept or not.

    Attributes:
        source: the input's name, the first thing an error says.
        faults: the first `KEPT_FAULTS` faults, in order.
        rejected: how many notes have been kept out.
        dropped: how many repeated notes have been left out by `duplicates="first"`.
        changed: what was read as something else than it says, in words → how often.
        doubtful: what was read as it says and looks wrong, in words → how often.
        tally: what readers count to judge a column as a whole.
        is_refused: whether the input as a whole can't be read, sound records or not.
    """

    def __init__(self, source: str, *, duplicates: Duplicates = "fault") -> None:
        self.source = printable(source)
        self.faults: list[Fault] = []
        self.rejected = 0
        self.dropped = 0
        self.changed: Counter[str] = Counter()
        self.doubtful: Counter[str] = Counter()
        self.tally: Counter[str] = Counter()
        self.is_refused = False
        self._total = 0
        self._places: list[Place] = []
        self._duplicates = duplicates
        self._seen: dict[str, Place] = {}
        self._numbers: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._total

    def add(self, place: Place, found: str, allowed: str) -> None:
        """Records one fault; `found` and `allowed` must not contain note text."""
        self._total += 1
        if len(self.faults) < KEPT_FAULTS:
            self.faults.append(Fault(str(place), found, allowed))
            self._places.append(place)

    def refuse(self, place: Place, found: str, allowed: str) -> None:
        """Records what makes the whole input unfit: told first, and not to be skipped."""
        self._total += 1
        self.is_refused = True
        self.faults.insert(0, Fault(str(place), found, allowed))
        self._places.insert(0, place)

    def reading(self, make: Callable[[], Note | None], place: Place) -> Iterator[Note]:
        """Yields the note that `make` makes of one record, if it is sound.

        `make` adds what is wrong and returns `None` where there is no note. Whatever else it
        raises is a fault of this record, so that one record never ends the reading.
        """
        mark = len(self)
        note = None
        try:
            note = make()
        except ConfigError:
            raise
        except Exception as error:  # of a kind that only the record knows
            self.add_error(place, error)
        yield from self.admitted(note, place, since=mark)

    def admitted(self, note: Note | None, place: Place, *, since: int) -> Iterator[Note]:
        """Yields the note if it is sound and nothing was found wrong since the mark `since`.

        `None` stands for a record that could not be made into a note at all.
        """
        # What follows from a fault that is already told would only hide it.
        if note is not None and len(self) == since:
            place = replace(place, note_id=note.note_id)
            try:
                for found, allowed in note_problems(note):
                    self.add(place, found, allowed)
            except Exception as error:  # of fields that are not what the schema says
                self.add_error(replace(place, note_id=None), error)
            if len(self) == since and note.note_id in self._seen:
                if self._duplicates == "first":
                    self.dropped += 1
                    return
                note = self._renumbered(note, place)
        if note is None or len(self) > since:
            self.rejected += 1
            return
        self._seen[note.note_id] = place
        yield self._tidied(note)

    def add_error(self, place: Place, error: Exception) -> None:
        """Records that something could not be read, without the error's own words.

        Those may quote the record.
        """
        if isinstance(error, UnreadableError):
            self.add(place, error.found, error.allowed)
        elif isinstance(error, OSError):
            found = f"a file that can't be read ({type(error).__name__})"
            self.add(place, found, "a complete, readable file")
        else:
            found = f"a record that can't be read ({type(error).__name__})"
            self.add(place, found, "fields as the README describes them")

    def _tidied(self, note: Note) -> Note:
        neat = tidied(note)
        if neat is not note:
            moved = sum(a != b for a, b in zip(note.spans or (), neat.spans or (), strict=True))
            self.changed[
                "mentions with blanks at their ends or with blanks alone between their pieces, "
                "read without them"
            ] += moved
        self.doubtful.update(doubts(neat))
        return neat

    def _renumbered(self, note: Note, place: Place) -> Note:
        first = self._seen[note.note_id]
        if self._duplicates == "fault":
            self.add(
                place,
                f"note id {shown_id(note.note_id)!r} was already given at "
                f"{first.file}{'' if first.line is None else f':{first.line}'}",
                "every note id once (or duplicates='first' to keep the first, "
                "duplicates='number' to rename the others '<id>#2', …)",
            )
            return note
        number = self._numbers[note.note_id] or 2
        while f"{note.note_id}#{number}" in self._seen:
            number += 1
        self._numbers[note.note_id] = number + 1
        return replace(note, note_id=f"{note.note_id}#{number}")

    def error(self, mend: str) -> FaultyNotesError:
        """All faults as one error."""
        return FaultyNotesError(self.source, self.faults, mend, total=len(self))

    def write(self, path: Path) -> None:
        """Writes one JSON object a fault: `file`, `line`, `note_id`, `found`, `allowed`.

        Where there are more than were kept, a last line says how many.
        """
        with path.open("w", encoding="utf-8", newline="\n") as file:
            for place, fault in zip(self._places, self.faults, strict=True):
                row = {
                    "file": place.file,
                    "line": place.line,
                    "note_id": None if place.note_id is None else shown_id(place.note_id),
                    "found": fault.found,
                    "allowed": fault.allowed,
                }
                file.write(json.dumps(row) + "\n")
            hidden = len(self) - len(self.faults)
            if hidden:
                row = {
                    "file": self.source,
                    "line": None,
                    "note_id": None,
                    "found": f"{hidden} more faults, which are not listed",
                    "allowed": "correct those above first",
                }
                file.write(json.dumps(row) + "\n")
