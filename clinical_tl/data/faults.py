"""What is wrong with an input: gathered while reading, reported once at the end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from clinical_tl.data.checks import note_problems
from clinical_tl.errors import Fault, FaultyNotesError, printable, shown_id
from clinical_tl.schema import Note

Duplicates = Literal["fault", "first", "number"]


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

    A reader takes `mark = len(faults)` before each note, adds what it finds, and ends with
    `yield from faults.admitted(note, place, since=mark)`.

    Attributes:
        source: the input's name, the first thing an error says.
        faults: every fault so far, in order.
        rejected: how many notes have been kept out.
        dropped: how many repeated notes have been left out by `duplicates="first"`.
    """

    def __init__(self, source: str, *, duplicates: Duplicates = "fault") -> None:
        self.source = printable(source)
        self.faults: list[Fault] = []
        self.rejected = 0
        self.dropped = 0
        self._places: list[Place] = []
        self._duplicates = duplicates
        self._seen: dict[str, Place] = {}

    def __len__(self) -> int:
        return len(self.faults)

    def add(self, place: Place, found: str, allowed: str) -> None:
        """Records one fault; `found` and `allowed` must not contain note text."""
        self.faults.append(Fault(str(place), found, allowed))
        self._places.append(place)

    def admitted(self, note: Note | None, place: Place, *, since: int) -> Iterator[Note]:
        """Yields the note if it is sound and nothing was found wrong since the mark `since`.

        `None` stands for a record that could not be made into a note at all.
        """
        # What follows from a fault that is already told would only hide it.
        if note is not None and len(self.faults) == since:
            place = replace(place, note_id=note.note_id)
            for found, allowed in note_problems(note):
                self.add(place, found, allowed)
            if len(self.faults) == since and note.note_id in self._seen:
                if self._duplicates == "first":
                    self.dropped += 1
                    return
                note = self._renumbered(note, place)
        if note is None or len(self.faults) > since:
            self.rejected += 1
            return
        self._seen[note.note_id] = place
        yield note

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
        number = 2
        while f"{note.note_id}#{number}" in self._seen:
            number += 1
        return replace(note, note_id=f"{note.note_id}#{number}")

    def error(self, mend: str) -> FaultyNotesError:
        """All faults as one error."""
        return FaultyNotesError(self.source, self.faults, mend)

    def write(self, path: Path) -> None:
        """Writes one JSON object a fault: `file`, `line`, `note_id`, `found`, `allowed`."""
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
