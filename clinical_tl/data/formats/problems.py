"""What is wrong with an input: gathered while reading, reported once at the end."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from clinical_tl.data.notes import tidied
from clinical_tl.errors import (
    ConfigError,
    Fault,
    FaultyNotesError,
    NoteError,
    printable,
    shown_id,
)
from clinical_tl.schema import Note, visible

NOT_UTF8 = (
    "UTF-8 text (most files that are none are Windows': read them with encoding='cp1252', or "
    "convert them by iconv -f cp1252 -t utf-8, and compare a few words)"
)
_NEITHER = "UTF-8 text (say which it is, encoding='…'; cp1252 it is not: that has no such bytes)"
NO_UNICODE = "bytes that are not UTF-8"
_NOT_IN_CP1252 = re.compile("[\udc81\udc8d\udc8f\udc90\udc9d]")

# U+0085 is among them, and the only one that means something (a new line) in some texts.
_CONTROLS = re.compile("[\x80-\x9f]")
# What é, à or a typographic quote in UTF-8 looks like after it was taken for cp1252.
_MISTAKEN = re.compile("\u00c3[\u00a0-\u00bf]|\u00e2\u20ac[\u0080-\u2122]")
_REPLACED = "\ufffd"
# Of a text's characters; stray ones, as one alone, are only told.
MOST_NULS = 0.1


def is_encodable(text: str) -> bool:
    """Whether a string is valid Unicode: readers turn undecodable bytes into lone surrogates."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def conversion(text: str) -> str:
    """What would be right instead of these undecoded bytes, and the likeliest way there."""
    return _NEITHER if _NOT_IN_CP1252.search(text) else NOT_UTF8


def doubts(note: Note) -> Iterator[str]:
    """Yields what looks wrong with a note's characters but may be meant."""
    text = f"{note.text}\n{note.label or ''}"
    if "\0" in text:
        yield "notes with NUL characters"
    if text.isascii():
        return
    if _CONTROLS.search(text):
        yield (
            "notes with control characters (U+0080–U+009F), as Windows' quotes and dashes become "
            "where cp1252 is converted as latin1; convert the original: iconv -f cp1252 -t utf-8"
        )
    if _MISTAKEN.search(text):
        yield (
            "notes with letter pairs such as UTF-8 shows where it is taken for cp1252 and "
            "converted once more; take the file before its last conversion"
        )
    if _REPLACED in text:
        yield "notes with characters that an earlier conversion has lost (U+FFFD)"


def note_problems(note: Note) -> Iterator[tuple[str, str]]:
    """Yields what is wrong with a note as (found, allowed), without any of its text."""
    if not note.note_id.strip():
        yield "no note id", "a note_id that is not blank"
    if not note.text.strip():
        yield f"an empty note ({len(note.text)} characters, all blank)", "text"
    if max(1, MOST_NULS * len(note.text)) < note.text.count("\0"):
        yield "NUL characters, as UTF-16 and UTF-32 without their marks have", _wide(note.text)
    if not is_encodable(note.text):
        at = next(i for i, char in enumerate(note.text) if "\ud800" <= char <= "\udfff")
        found = f"{NO_UNICODE}, or half a character, at character {at}"
        yield found, conversion(note.text)
    yield from _field_problems(note)
    yield from _span_problems(note)


def _wide(text: str) -> str:
    width = 16 if 3 * text.count("\0") < 2 * len(text) else 32
    order = "be" if text.startswith("\0") else "le"
    return f"text without them; it may be encoding='utf-{width}-{order}'"


def _field_problems(note: Note) -> Iterator[tuple[str, str]]:
    try:
        # Sorted, as a dataset of notes keeps it.
        json.dumps(dict(note.metadata), sort_keys=True, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        yield "metadata that JSON does not know", "strings, finite numbers, lists, objects of them"
        return
    others = "".join(_other_strings(note))
    if not is_encodable(others):
        found = f"{NO_UNICODE}, or half a character, in a field beside the text"
        yield found, conversion(others)
    for name in ("patient_id", "label"):
        value = getattr(note, name)
        if value is not None and not value.strip():
            yield f"a blank {name}", f"a {name}, or None where there is none"
    if not all(code.strip() for code in note.codes or ()):
        yield "a blank code", "codes that are not blank"


def _other_strings(note: Note) -> Iterator[str]:
    yield note.note_id
    yield note.patient_id or ""
    yield note.label or ""
    yield from note.codes or ()
    for span in note.spans or ():
        yield span.id + span.label
        yield from span.concepts
        for name, value in span.attributes:
            yield name + value
    for relation in note.relations or ():
        yield relation.head + relation.tail + relation.label
    if note.metadata:
        yield json.dumps(dict(note.metadata), ensure_ascii=False, default=str)


def _span_problems(note: Note) -> Iterator[tuple[str, str]]:
    for span in note.spans or ():
        if span.end > len(note.text):
            yield (
                f"offsets {span.start}–{span.end} in a text of {len(note.text)} characters",
                f"0 <= start < end <= {len(note.text)}",
            )
        elif not span.label.strip():
            yield f"a mention without a label, {span.start}–{span.end}", "a label"
        elif span.score is not None and not 0 <= span.score <= 1:
            yield f"a score of the mention {span.start}–{span.end}", "a number in [0, 1], or None"
        elif len(set(visible(note.text, span.start, span.end))) == 1:
            yield (
                f"a mention of blanks alone, {span.start}–{span.end}",
                "mentions with a visible character",
            )
    ids = Counter(span.id for span in note.spans or () if span.id)
    twice = sum(count > 1 for count in ids.values())
    if twice:
        yield f"{twice} mention ids that occur more than once", "every mention id once a note"
    if note.spans is not None and note.relations:
        known = ids.keys() | {concept for span in note.spans for concept in span.concepts}
        dangling = sum(not {r.head, r.tail} <= known for r in note.relations)
        if dangling:
            yield (
                f"{dangling} relations whose head or tail is no mention or concept of the note",
                "mention ids or concept ids that the note's spans carry",
            )


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
        passed_over: what is no note and was not meant to be, in words → how often.
        empty: how cells were read that are there and empty, in words → how often, in the notes
            that are kept.
        empty_here: the same of the record that is being read.
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
        self.passed_over: Counter[str] = Counter()
        self.empty: Counter[str] = Counter()
        self.empty_here: list[str] = []
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

        `make` adds what is wrong, or to `passed_over`, and returns `None` where there is no note.
        Whatever else it
        raises is a fault of this record, so that one record never ends the reading.
        """
        mark, passed = len(self), self.passed_over.total()
        self.empty_here.clear()
        note = None
        try:
            note = make()
        except ConfigError:
            raise
        except Exception as error:  # of a kind that only the record knows
            self.add_error(place, error)
        if note is None and len(self) == mark and self.passed_over.total() > passed:
            return
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
        self.empty.update(self.empty_here)
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
