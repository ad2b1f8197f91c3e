"""BRAT standoff: a folder of texts (`x.txt`) and annotations (`x.ann`).

The format of Stenetorp et al., brat: a web-based tool for NLP-assisted text annotation,
EACL 2012.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from clinical_tl.data.faults import Faults, Place
from clinical_tl.data.mention import quotes, read_mention
from clinical_tl.data.standoff import Standoff, read_standoff
from clinical_tl.data.streams import BYTE_ORDER_MARK, decode, numbered_lines
from clinical_tl.schema import Note, Relation, Span

RELATION_LINES = ("R", "E", "*")


def read_brat(folder: Path, faults: Faults) -> Iterator[Note]:
    r"""Yields a note for every `*.txt` at or under the folder, in the order of their names.

    Note ids are paths within the folder without the ending. Texts are taken byte by byte as
    UTF-8: `\r\n` counts as two characters, and a byte-order mark as one unless the quoted
    mentions show that it was not counted. A text without an `.ann` file is not annotated
    (`spans=None`); relations are `None` if no file of the folder has any.

    - `T`: spans, discontinuous ones (`0 5;8 10`) with fragments.
    - `A`, `M`: attributes of the mention, or of the event's trigger; without a value, `"true"`.
    - `N`: concepts (`MESH:D003110`).
    - `R`: relations; of or to an event: of or to its trigger. `*`: every member to the first.
    - `E`: one relation an argument, trigger to argument (or its trigger), labelled by role.
    - `#`: annotators' remarks, passed over.
    """
    has_relations = any(
        line.startswith(RELATION_LINES)
        for path in folder.rglob("*.ann")
        for _, line in numbered_lines(path)
    )
    texts = sorted(folder.rglob("*.txt"))
    for path in texts:
        annotations = path.with_suffix(".ann")
        note_id = path.relative_to(folder).as_posix().removesuffix(".txt")
        text = decode(path.read_bytes())
        if annotations.exists():
            place = Place(annotations.relative_to(folder).as_posix(), note_id=note_id)
            mark = len(faults)
            note = _note(text, annotations, place, faults, has_relations)
            yield from faults.admitted(note, place, since=mark)
        else:
            place = Place(path.relative_to(folder).as_posix(), note_id=note_id)
            yield from faults.admitted(Note(note_id, text), place, since=len(faults))
    for orphan in sorted(set(folder.rglob("*.ann")) - {t.with_suffix(".ann") for t in texts}):
        faults.add(Place(orphan.relative_to(folder).as_posix()), "no text", "a .txt file beside it")
        faults.rejected += 1


def _note(text: str, annotations: Path, place: Place, faults: Faults, has_relations: bool) -> Note:
    standoff = read_standoff(annotations, place, faults)
    text = _without_uncounted_mark(text, standoff)
    resolved = {mention: mention for mention in standoff.mentions} | standoff.triggers

    def resolve(reference: str, line: int) -> str:
        if reference not in resolved or resolved[reference] not in standoff.mentions:
            found = "a reference to a mention or event that the file lacks"
            faults.add(place.at(line), found, "ids of T and E lines")
            return ""
        return resolved[reference]

    attributes: dict[str, list[tuple[str, str]]] = {}
    for line, reference, name, value in standoff.attributes:
        attributes.setdefault(resolve(reference, line), []).append((name, value))
    concepts: dict[str, list[str]] = {}
    for line, reference, concept in standoff.concepts:
        concepts.setdefault(resolve(reference, line), []).append(concept)
    relations = [
        Relation(resolve(head, line), resolve(tail, line), label)
        for line, head, tail, label in standoff.relations
    ]
    for line, trigger in standoff.trigger_lines:
        resolve(trigger, line)
    spans: list[Span] = []
    for mention in standoff.mentions.values():
        span = read_mention(
            text,
            mention.pieces,
            mention.label,
            place.at(mention.line),
            faults,
            quoted=mention.quoted,
            mention_id=mention.id,
            concepts=tuple(concepts.get(mention.id, ())),
            attributes=tuple(attributes.get(mention.id, ())),
        )
        if span is not None:
            spans.append(span)
    return Note(
        note_id=place.note_id or "",
        text=text,
        spans=tuple(spans),
        relations=tuple(relations) if has_relations else None,
    )


def _without_uncounted_mark(text: str, standoff: Standoff) -> str:
    if not text.startswith(BYTE_ORDER_MARK):
        return text
    for candidate in (text, text[1:]):
        if all(quotes(candidate, m.pieces, m.quoted) for m in standoff.mentions.values()):
            return candidate
    return text
