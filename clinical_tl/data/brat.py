"""BRAT standoff: a folder of texts (`x.txt`) and annotations (`x.ann`).

The format of Stenetorp et al., brat: a web-based tool for NLP-assisted text annotation,
EACL 2012.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from clinical_tl.data.counting import Quoted, settle
from clinical_tl.data.faults import Faults, Place, UnreadableError
from clinical_tl.data.folders import check_member, member_text, members
from clinical_tl.data.mention import read_mention
from clinical_tl.data.standoff import read_standoff
from clinical_tl.data.streams import BYTE_ORDER_MARK, numbered_lines
from clinical_tl.schema import Note, Relation, Span

RELATION_LINES = ("R", "E", "*")


def read_brat(folder: Path, faults: Faults) -> Iterator[Note]:
    r"""Yields a note for every `*.txt` at or under the folder, in the order of their names.

    Note ids are paths within the folder without the ending, which may be in capitals. Texts are
    taken byte by byte as UTF-8: `\r\n` counts as two characters and a byte-order mark as one,
    unless all quoted mentions of a note show that its offsets count something else
    (`counting.settle`). What is no regular file of the folder is a fault. A text without an
    `.ann` file is not annotated (`spans=None`); relations are `None` if no file of the folder
    has any.

    - `T`: spans, discontinuous ones (`0 5;8 10`) with fragments.
    - `A`, `M`: attributes of the mention, or of the event's trigger; without a value, `"true"`.
    - `N`: concepts (`MESH:D003110`).
    - `R`: relations; of or to an event: of or to its trigger. `*`: every member to the first.
    - `E`: one relation an argument, trigger to argument (or its trigger), labelled by role.
    - `#`: annotators' remarks, passed over.
    """
    texts, standoff = members(folder, faults, ".txt", ".ann")
    annotations: dict[Path, list[Path]] = {}
    for path in standoff:
        annotations.setdefault(path.with_suffix(""), []).append(path)
    has_relations = any(
        _has_relations(path, folder) for paths in annotations.values() for path in paths
    )
    for path in texts:
        own = annotations.pop(path.with_suffix(""), [])
        note_id = path.relative_to(folder).with_suffix("").as_posix()
        place = Place((own or [path])[0].relative_to(folder).as_posix(), note_id=note_id)
        read = partial(_note, path, own, folder, place, faults, has_relations)
        yield from faults.reading(read, place)
    for orphan in sorted(path for paths in annotations.values() for path in paths):
        faults.add(Place(orphan.relative_to(folder).as_posix()), "no text", "a .txt file beside it")
        faults.rejected += 1


def _has_relations(path: Path, folder: Path) -> bool:
    try:
        check_member(path, folder)
        return any(line.startswith(RELATION_LINES) for _, line in numbered_lines(path))
    except (OSError, UnreadableError):
        # Told where the note is read.
        return False


def _note(
    path: Path,
    annotations: list[Path],
    folder: Path,
    place: Place,
    faults: Faults,
    has_relations: bool,
) -> Note | None:
    note_id = place.note_id or ""
    text = member_text(
        path, folder, replace(place, file=path.relative_to(folder).as_posix()), faults
    )
    if len(annotations) > 1:
        faults.add(place, f"{len(annotations)} .ann files of one text", "one .ann file a text")
    if text is None or len(annotations) != 1:
        return None if text is None else Note(note_id, text)
    check_member(annotations[0], folder)
    standoff = read_standoff(annotations[0], place, faults)
    mentions = list(standoff.mentions.values())
    settled = settle(text, [Quoted(m.pieces, m.quoted) for m in mentions], faults)
    pieces = settled.pieces
    if not settled.counts_mark:
        text = text.removeprefix(BYTE_ORDER_MARK)
        pieces = tuple([(start - 1, end - 1) for start, end in own] for own in pieces)
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
    for mention, own in zip(mentions, pieces, strict=True):
        span = read_mention(
            text,
            own,
            mention.label,
            place.at(mention.line),
            faults,
            quoted=mention.quoted,
            hint=settled.hint,
            mention_id=mention.id,
            concepts=tuple(concepts.get(mention.id, ())),
            attributes=tuple(attributes.get(mention.id, ())),
        )
        if span is not None:
            spans.append(span)
    return Note(
        note_id=note_id,
        text=text,
        spans=tuple(spans),
        relations=tuple(relations) if has_relations else None,
    )
