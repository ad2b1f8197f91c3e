"""PubTator: title and abstract lines, then one mention or relation a line.

The format of Wei, Kao & Lu, PubTator: a web-based text mining tool for assisting biocuration,
Nucleic Acids Research 41 (2013).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

from clinical_tl.data.formats.counting import Pieces, Quoted, settle
from clinical_tl.data.formats.files import File
from clinical_tl.data.formats.format import Format
from clinical_tl.data.formats.mention import read_mention
from clinical_tl.data.formats.problems import Faults, Place
from clinical_tl.display.discreet import Discreet
from clinical_tl.schema import Note, Relation, Span

HEAD = re.compile(r"([^|\t]+)\|([ta])\|(.*)", re.DOTALL)
NO_CONCEPT = "-1"
MENTION_COLUMNS = (5, 6, 7)
RELATION_COLUMNS = 4
NOVELTIES = {"Novel", "No", "None"}
OFFSET = re.compile(r"[0-9]{1,18}")


@dataclass(eq=False, repr=False)
class _Document(Discreet):
    HIDDEN: ClassVar[frozenset[str]] = frozenset({"title", "abstract"})
    place: Place
    title: str | None = None
    abstract: str | None = None
    lines: list[tuple[int, list[str]]] = field(default_factory=list)
    wrong: list[tuple[Place, str, str]] = field(default_factory=list)


def read_pubtator(file: File, faults: Faults) -> Iterator[Note]:
    """Yields a note for every document.

    The text is title, line break, abstract: offsets count one character between the two.
    Concept ids joined by `|` or `+` become several concepts, and the id as it stands is kept
    as the attribute `composite`; `-1` becomes none. A seventh column, the members of a composite
    mention, becomes the attribute `members`. Four-column lines relate concepts; whether that is
    new, a fifth column of BioRED's, is passed over, and counted. A file without
    any mention (relation) line leaves spans (relations) `None`.
    """
    annotated = _annotated(file)
    document: _Document | None = None
    after_blank = False
    for number, line in file.lines():
        if not line.strip():
            after_blank = True
            continue
        head = HEAD.fullmatch(line)
        if head is not None:
            if document is not None and (head[2] == "t" or after_blank):
                yield from faults.reading(
                    partial(_note, document, faults, *annotated), document.place
                )
                document = None
            if document is None:
                document = _Document(Place(file.name, number, head[1]))
            _add_text(document, number, head)
        else:
            cells = line.split("\t")
            # A blank line may stand before a document's annotations, but not before another's.
            own = document is not None and (not after_blank or cells[0] == document.place.note_id)
            if document is None or not own:
                place = Place(file.name, number)
                faults.add(place, "a line outside a document", "id|t|title first")
                continue
            document.lines.append((number, cells))
        after_blank = False
    if document is not None:
        yield from faults.reading(partial(_note, document, faults, *annotated), document.place)


def _annotated(file: File) -> tuple[bool, bool]:
    # A document without mentions is gold only if the corpus annotates mentions at all.
    has_spans = has_relations = False
    for _, line in file.lines():
        if not HEAD.fullmatch(line):
            cells = line.split("\t")
            is_relation = _is_relation(cells)
            has_relations |= is_relation
            has_spans |= len(cells) in MENTION_COLUMNS and not is_relation
    return has_spans, has_relations


def _is_relation(cells: list[str]) -> bool:
    return len(cells) == RELATION_COLUMNS or (
        len(cells) == RELATION_COLUMNS + 1
        and cells[4].strip() in NOVELTIES
        and OFFSET.fullmatch(cells[1]) is None
    )


def _add_text(document: _Document, number: int, head: re.Match[str]) -> None:
    place = document.place.at(number)
    name = "title" if head[2] == "t" else "abstract"
    if head[1] != document.place.note_id:
        wrong = (place, f"the {name} of another document", "one document's lines together")
        document.wrong.append(wrong)
    if getattr(document, name) is not None:
        document.wrong.append((place, f"a second {name}", f"one {name} a document"))
    setattr(document, name, head[3])


def _note(document: _Document, faults: Faults, has_spans: bool, has_relations: bool) -> Note | None:
    for place, found, allowed in document.wrong:
        faults.add(place, found, allowed)
    note_id = document.place.note_id or ""
    parts = [part for part in (document.title, document.abstract) if part is not None]
    text = "\n".join(parts)
    mentions: list[tuple[Place, list[str], Quoted]] = []
    relations: list[Relation] = []
    for number, cells in document.lines:
        place = document.place.at(number)
        if cells[0] != note_id:
            faults.add(place, "an annotation of another document", "the id of the document above")
        elif _is_relation(cells):
            if len(cells) > RELATION_COLUMNS:
                faults.passed_over["novelties of relations"] += 1
            relations.append(Relation(head=cells[2], tail=cells[3], label=cells[1]))
        elif len(cells) in MENTION_COLUMNS and all(map(OFFSET.fullmatch, cells[1:3])):
            mention = Quoted([(int(cells[1]), int(cells[2]))], cells[3])
            mentions.append((place, cells, mention))
        else:
            faults.add(
                place,
                f"{len(cells)} columns that are neither a mention nor a relation",
                "id, start, end, mention, type, concepts[, members] or id, type, head, tail[, No]",
            )
    settled = settle(text, [mention for _, _, mention in mentions], faults)
    spans = [
        span
        for (place, cells, _), pieces in zip(mentions, settled.pieces, strict=True)
        if (span := _mention(cells, pieces, text, place, faults, settled.hint)) is not None
    ]
    return Note(
        note_id=note_id,
        text=text,
        spans=tuple(spans) if has_spans else None,
        relations=tuple(relations) if has_relations else None,
    )


def _mention(
    cells: list[str], pieces: Pieces, text: str, place: Place, faults: Faults, hint: str
) -> Span | None:
    raw = cells[5].strip() if len(cells) > 5 else ""
    concepts = tuple(part for piece in re.split(r"[|+]", raw) if (part := piece.strip()))
    attributes = []
    if len(concepts) > 1:
        # "|" and "+" mean different things (one or the other, both together).
        attributes.append(("composite", raw))
    if len(cells) > 6 and cells[6].strip():
        attributes.append(("members", cells[6].strip()))
    return read_mention(
        text,
        pieces,
        cells[4],
        place,
        faults,
        quoted=cells[3],
        hint=hint,
        concepts=tuple(concept for concept in concepts if concept != NO_CONCEPT),
        attributes=tuple(attributes),
    )


# With line ends of any kind.
START = re.compile(r"([^|\s]{1,100})\|t\|[^\r\n]*[\r\n]+\1\|a\|")

PUBTATOR = Format(
    "pubtator",
    "PubTator",
    read_pubtator,
    endings=(".pubtator", ".pubtator.txt"),
    looks=lambda sight: START.match(sight.start) is not None,
)
