"""What every note must satisfy, whichever format it came from."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator

from clinical_tl.schema import Note, visible

NOT_UTF8 = (
    "UTF-8 text (convert the file; most such files are Windows': iconv -f cp1252 -t utf-8 and "
    "compare a few words)"
)
_NEITHER = (
    "UTF-8 text (convert the file: iconv -f <its encoding> -t utf-8; cp1252 it is not: that has no "
    "such bytes)"
)
_NOT_IN_CP1252 = re.compile("[\udc81\udc8d\udc8f\udc90\udc9d]")

# U+0085 is among them, and the only one that means something (a new line) in some texts.
_CONTROLS = re.compile("[\x80-\x9f]")
# What é, à or a typographic quote in UTF-8 looks like after it was taken for cp1252.
_MISTAKEN = re.compile("\u00c3[\u00a0-\u00bf]|\u00e2\u20ac[\u0080-\u2122]")
_REPLACED = "\ufffd"


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
    if not is_encodable(note.text):
        at = next(i for i, char in enumerate(note.text) if "\ud800" <= char <= "\udfff")
        found = f"bytes that are not UTF-8, or half a character, at character {at}"
        yield found, conversion(note.text)
    yield from _field_problems(note)
    yield from _span_problems(note)


def _field_problems(note: Note) -> Iterator[tuple[str, str]]:
    try:
        # Sorted, as a dataset of notes keeps it.
        json.dumps(dict(note.metadata), sort_keys=True, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        yield "metadata that JSON does not know", "strings, finite numbers, lists, objects of them"
        return
    others = "".join(_other_strings(note))
    if not is_encodable(others):
        found = "bytes that are not UTF-8, or half a character, in a field beside the text"
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
