"""Notes as a folder of BRAT standoff files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from clinical_tl.data.checks import note_problems
from clinical_tl.data.losses import Losses
from clinical_tl.data.standoff import NO_TERMINOLOGY
from clinical_tl.errors import NoteError, shown_id
from clinical_tl.schema import Note, Span

# What all file systems agree on; `/` makes folders.
FILE_NAME = re.compile(r"\w(?:[\w .-]*[\w-])?(?:/\w(?:[\w .-]*[\w-])?)*")
MENTION_ID = re.compile(r"T[0-9]+")
WORD = re.compile(r"\S+")
CONTROL = re.compile(r"[\t\r\n]")


def write_brat(notes: Iterable[Note], folder: Path, losses: Losses) -> None:
    """Writes `<note_id>.txt` and, for notes whose spans are not `None`, `<note_id>.ann`.

    Mentions are numbered `T1`, … unless all of a note's ids have that form already. What the
    format can't hold is left out and counted in `losses`.

    Raises:
        NoteError: notes with unsound offsets, ids that can't be file names, or ids that differ
            only in case.
    """
    names: set[str] = set()
    annotated: Counter[str] = Counter()
    for note in losses.counted(notes):
        for found, allowed in note_problems(note):
            raise NoteError(f"note {shown_id(note.note_id)}: {found}; allowed: {allowed}")
        _check_name(note.note_id, names)
        text = folder / f"{note.note_id}.txt"
        text.parent.mkdir(parents=True, exist_ok=True)
        text.write_bytes(note.text.encode())
        losses.add_note_fields(note)
        if note.spans is None:
            losses.add("relations (notes without spans)", note.relations is not None)
            continue
        ids = _mention_ids(note.spans)
        relations = list(_relation_lines(note, ids, losses))
        lines = [*_mention_lines(note, note.spans, ids, losses), *relations]
        annotations = text.with_name(f"{text.name.removesuffix('.txt')}.ann")
        annotations.write_bytes("".join(f"{line}\n" for line in lines).encode())
        kind = "none" if note.relations is None else "some" if relations else "empty"
        annotated[kind] += 1
    # A reader takes a note without relation lines as its neighbours suggest.
    losses.add(
        "notes whose relations are None where others have some, or empty where none has any",
        annotated["none"] if annotated["some"] else annotated["empty"],
    )


def _check_name(note_id: str, names: set[str]) -> None:
    if not FILE_NAME.fullmatch(note_id) or len(note_id.encode()) > 200:
        raise NoteError(
            f"note {shown_id(note_id)}: the id can't be a file name; BRAT needs ids of letters, "
            "digits, '_', '-', '.', inner spaces, and '/' between folders, at most 200 bytes"
        )
    if note_id.casefold() in names:
        raise NoteError(
            f"note {shown_id(note_id)}: the id is another note's but for case; BRAT needs ids "
            "that differ on every file system"
        )
    names.add(note_id.casefold())


def _mention_ids(spans: tuple[Span, ...]) -> list[str]:
    own = [span.id for span in spans]
    if all(MENTION_ID.fullmatch(mention_id) for mention_id in own):
        return own
    return [f"T{number}" for number in range(1, len(own) + 1)]


def _mention_lines(
    note: Note, spans: tuple[Span, ...], ids: list[str], losses: Losses
) -> Iterator[str]:
    attributes = concepts = 0
    for span, mention_id in zip(spans, ids, strict=True):
        if not WORD.fullmatch(span.label):
            losses.add("mentions whose label has spaces")
            continue
        pieces = span.fragments or ((span.start, span.end),)
        offsets = ";".join(f"{start} {end}" for start, end in pieces)
        quoted = CONTROL.sub(" ", " ".join(note.text[start:end] for start, end in pieces))
        yield f"{mention_id}\t{span.label} {offsets}\t{quoted}"
        for name, value in span.attributes:
            fits = value and value == value.rstrip() and not CONTROL.search(value)
            if fits and WORD.fullmatch(name):
                attributes += 1
                yield f"A{attributes}\t{name} {mention_id} {value}"
            else:
                losses.add("attributes with odd spaces or without a value")
        for concept in span.concepts:
            if WORD.fullmatch(concept):
                concepts += 1
                is_full = ":" in concept and not concept.startswith(NO_TERMINOLOGY)
                shown = concept if is_full else NO_TERMINOLOGY + concept
                yield f"N{concepts}\tReference {mention_id} {shown}\t{quoted}"
            else:
                losses.add("concepts with spaces")


def _relation_lines(note: Note, ids: list[str], losses: Losses) -> Iterator[str]:
    written = {
        span.id: mention_id
        for span, mention_id in zip(note.spans or (), ids, strict=True)
        if span.id and WORD.fullmatch(span.label)
    }
    number = 0
    for relation in note.relations or ():
        head, tail = written.get(relation.head), written.get(relation.tail)
        if head is None or tail is None:
            losses.add("relations that are not between two mentions")
        elif not WORD.fullmatch(relation.label):
            losses.add("relations whose label has spaces")
        else:
            number += 1
            yield f"R{number}\t{relation.label} Arg1:{head} Arg2:{tail}"
