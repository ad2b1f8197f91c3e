"""What every note must satisfy, whichever format it came from."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

from clinical_tl.schema import Note

NOT_UTF8 = "UTF-8 text (convert the file, e.g. iconv -f latin1 -t utf-8)"


def is_encodable(text: str) -> bool:
    """Whether a string is valid Unicode: readers turn undecodable bytes into lone surrogates."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def note_problems(note: Note) -> Iterator[tuple[str, str]]:
    """Yields what is wrong with a note as (found, allowed), without any of its text."""
    if not note.note_id.strip():
        yield "no note id", "a note_id that is not blank"
    if not note.text.strip():
        yield f"an empty note ({len(note.text)} characters, all blank)", "text"
    if not is_encodable(note.text):
        at = next(i for i, char in enumerate(note.text) if "\ud800" <= char <= "\udfff")
        yield f"bytes that are not UTF-8, or half a character, at character {at}", NOT_UTF8
    if not is_encodable("".join(_other_strings(note))):
        yield "bytes that are not UTF-8, or half a character, in a field beside the text", NOT_UTF8
    yield from _span_problems(note)


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
