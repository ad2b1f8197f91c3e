"""BRAT standoff: a folder of texts (`x.txt`) and annotations (`x.ann`).

The format of Stenetorp et al., brat: a web-based tool for NLP-assisted text annotation,
EACL 2012.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal, get_args

from clinical_tl.data.formats.counting import Quoted, settle
from clinical_tl.data.formats.files import BYTE_ORDER_MARK, File
from clinical_tl.data.formats.folders import Folder
from clinical_tl.data.formats.format import Format
from clinical_tl.data.formats.left_out import Losses
from clinical_tl.data.formats.mention import read_mention
from clinical_tl.data.formats.problems import Faults, Place, UnreadableError, note_problems
from clinical_tl.display.discreet import Discreet
from clinical_tl.errors import ConfigError, NoteError, shown_id, shown_value
from clinical_tl.schema import Note, Relation, Span

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


# What stands before a concept id that names no terminology: BRAT wants TERMINOLOGY:ID.
NO_TERMINOLOGY = "concept:"

OFFSETS = re.compile(r"[0-9]+ [0-9]+(?:;[0-9]+ [0-9]+)*")
REMARK = re.compile(r"#[^\t ]*\t(\S+) ([A-Z*][^\t ]*)[\t ]*\t(.*)")
BETWEEN_CONCEPTS = re.compile(r"[\s;,|]+")

NotesAs = Literal["concepts", "attributes"]


@dataclass(frozen=True, eq=False, repr=False)
class StandoffMention(Discreet):
    """A `T` line: offsets in the order of the file, and the mention as the file quotes it."""

    HIDDEN: ClassVar[frozenset[str]] = frozenset({"quoted"})

    line: int
    id: str
    label: str
    pieces: tuple[tuple[int, int], ...]
    quoted: str


@dataclass(eq=False, repr=False)
class Standoff(Discreet):
    """An `.ann` file's lines by kind; references are ids of mentions or events.

    Attributes:
        mentions: id → `T` line, in the order of the file.
        triggers: event id → id of its trigger.
        trigger_lines: (line, id of the trigger) of every event.
        attributes: (line, reference, name, value).
        concepts: (line, reference, concept).
        relations: (line, head, tail, label), arguments of events among them.
        relation_ids: those of `R` lines.
        remarks: (line, reference, kind, remark) of the annotators.
    """

    mentions: dict[str, StandoffMention] = field(default_factory=dict)
    triggers: dict[str, str] = field(default_factory=dict)
    trigger_lines: list[tuple[int, str]] = field(default_factory=list)
    attributes: list[tuple[int, str, str, str]] = field(default_factory=list)
    concepts: list[tuple[int, str, str]] = field(default_factory=list)
    relations: list[tuple[int, str, str, str]] = field(default_factory=list)
    relation_ids: set[str] = field(default_factory=set)
    remarks: list[tuple[int, str, str, str]] = field(default_factory=list)


class _BrokenLineError(Exception):
    pass


def read_standoff(file: File, place: Place, faults: Faults) -> Standoff:
    """Parses an `.ann` file; lines may come in any order. What is wrong goes to `faults`."""
    standoff = Standoff()
    for number, line in file.lines():
        if not line.strip() or line.startswith("#"):
            remark = REMARK.fullmatch(line)
            if remark is not None:
                standoff.remarks.append((number, remark[2], remark[1], remark[3].strip()))
            continue
        cells = line.split("\t")
        known = PARSERS.get(line[0])
        if known is None:
            allowed = "lines that begin with T, E, R, A, M, N, * or #"
            faults.add(place.at(number), "a line of an unknown kind", allowed)
            continue
        parse, shape = known
        try:
            parse(standoff, number, cells)
        except _BrokenLineError as error:
            faults.add(place.at(number), str(error), shape)
        except (ValueError, IndexError):
            faults.add(place.at(number), f"a broken {line[0]} line", shape)
    return standoff


def _mention(standoff: Standoff, line: int, cells: list[str]) -> None:
    mention_id, head, quoted = cells[0], cells[1], "\t".join(cells[2:])
    label, offsets = head.split(" ", 1)
    if not OFFSETS.fullmatch(offsets) or len(cells) < 3:
        raise ValueError
    _require_new(mention_id, standoff)
    pairs = (piece.split(" ") for piece in offsets.split(";"))
    pieces = tuple((int(start), int(end)) for start, end in pairs)
    standoff.mentions[mention_id] = StandoffMention(line, mention_id, label, pieces, quoted)


def _event(standoff: Standoff, line: int, cells: list[str]) -> None:
    _require_new(cells[0], standoff)
    roles = [part.split(":", 1) for part in cells[1].split()]
    (_, trigger), *arguments = [(role, reference) for role, reference in roles]
    standoff.triggers[cells[0]] = trigger
    standoff.trigger_lines.append((line, trigger))
    standoff.relations += [(line, trigger, reference, role) for role, reference in arguments]


def _require_new(own_id: str, standoff: Standoff) -> None:
    if own_id in standoff.mentions or own_id in standoff.triggers:
        message = "an id that an earlier line has"
        raise _BrokenLineError(message)


def _relation(standoff: Standoff, line: int, cells: list[str]) -> None:
    label, first, second = cells[1].split()
    (role, head), (other, tail) = first.split(":", 1), second.split(":", 1)
    if (role.lower(), other.lower()) == ("arg2", "arg1"):
        head, tail = tail, head
    standoff.relation_ids.add(cells[0])
    standoff.relations.append((line, head, tail, label))


def _equivalence(standoff: Standoff, line: int, cells: list[str]) -> None:
    label, first, *others = cells[1].split()
    standoff.relations += [(line, first, other, label) for other in others]


def _attribute(standoff: Standoff, line: int, cells: list[str]) -> None:
    name, reference, *value = cells[1].rstrip().split(" ", 2)
    standoff.attributes.append((line, reference, name, value[0] if value else "true"))


def _concept(standoff: Standoff, line: int, cells: list[str]) -> None:
    _, reference, concept = cells[1].split()
    standoff.concepts.append((line, reference, concept.removeprefix(NO_TERMINOLOGY)))


Parser = Callable[[Standoff, int, list[str]], None]

PARSERS: dict[str, tuple[Parser, str]] = {
    "T": (_mention, "T1<tab>Label start end[;start end]<tab>mention, every id once"),
    "E": (_event, "E1<tab>Type:T1[ Role:T2 …], every id once"),
    "R": (_relation, "R1<tab>Label Arg1:T1 Arg2:T2"),
    "*": (_equivalence, "*<tab>Equiv T1 T2 …"),
    "A": (_attribute, "A1<tab>Name T1[ value]"),
    "M": (_attribute, "M1<tab>Name T1[ value]"),
    "N": (_concept, "N1<tab>Reference T1 TERMINOLOGY:ID<tab>name"),
}


RELATION_LINES = ("R", "E", "*")


def read_brat(folder: Folder, faults: Faults, *, notes_as: NotesAs | None = None) -> Iterator[Note]:
    r"""Yields a note for every `*.txt` at or under the folder, in the order of their names.

    Note ids are paths within the folder without the ending, which may be in capitals. Texts are
    taken byte by byte as UTF-8: `\r\n` counts as two characters and a byte-order mark as one,
    unless all quoted mentions of a note show that its offsets count something else
    (`counting.settle`). What is no regular file of the folder is a fault. A text without an
    `.ann` file is not annotated (`spans=None`); relations are `None` if no file of the folder
    has any.

    - `T`: spans, discontinuous ones (`0 5;8 10`) with fragments.
    - `A`, `M`: attributes of the mention, or of the event's trigger; without a value, `"true"`.
      Those of relations (and their concepts) are passed over, and counted.
    - `N`: concepts (`MESH:D003110`).
    - `R`: relations, from `Arg1` to `Arg2`; of or to an event: of or to its trigger.
      `*`: every member to the first.
    - `E`: one relation an argument, trigger to argument (or its trigger), labelled by role.
    - `#`: annotators' remarks, see `notes_as`; comments.

    Args:
        folder: the folder.
        faults: where what is wrong goes.
        notes_as: what the annotators' remarks on mentions are (`#1 AnnotatorNotes T1 …`):
            `concepts`, where a corpus keeps codes in them (several between blanks, `;`, `,` or
            `|`), or `attributes`. By default they are passed over, and counted.

    Raises:
        ConfigError: an unknown `notes_as`.
    """
    if notes_as is not None and notes_as not in get_args(NotesAs):
        raise ConfigError(
            f"notes_as={shown_value(notes_as)}; allowed: {list(get_args(NotesAs))} or None"
        )
    texts, standoff = folder.members(faults, ".txt", ".ann")
    annotations: dict[str, list[File]] = {}
    for file in standoff:
        annotations.setdefault(_bare(file), []).append(file)
    has_relations = any(
        _has_relations(file, folder) for files in annotations.values() for file in files
    )
    for file in texts:
        note_id = _bare(file)
        own = annotations.pop(note_id, [])
        place = Place((own or [file])[0].name, note_id=note_id)
        read = partial(_note, file, own, folder, place, faults, has_relations, notes_as)
        yield from faults.reading(read, place)
    for orphan in sorted(file.name for files in annotations.values() for file in files):
        faults.add(Place(orphan), "no text", "a .txt file beside it")
        faults.rejected += 1


def _bare(file: File) -> str:
    return PurePosixPath(file.name).with_suffix("").as_posix()


def _has_relations(file: File, folder: Folder) -> bool:
    try:
        folder.check_member(file)
        return any(line.startswith(RELATION_LINES) for _, line in file.lines())
    except (OSError, UnreadableError):
        # Told where the note is read.
        return False


def _note(
    file: File,
    annotations: list[File],
    folder: Folder,
    place: Place,
    faults: Faults,
    has_relations: bool,
    notes_as: NotesAs | None,
) -> Note | None:
    note_id = place.note_id or ""
    text = folder.text_of(file, replace(place, file=file.name), faults)
    if len(annotations) > 1:
        faults.add(place, f"{len(annotations)} .ann files of one text", "one .ann file a text")
    if text is None or len(annotations) != 1:
        return None if text is None else Note(note_id, text)
    folder.check_member(annotations[0])
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
        if reference in standoff.relation_ids:
            faults.passed_over["attributes of relations"] += 1
            continue
        attributes.setdefault(resolve(reference, line), []).append((name, value))
    concepts: dict[str, list[str]] = {}
    for line, reference, concept in standoff.concepts:
        if reference in standoff.relation_ids:
            faults.passed_over["concepts of relations"] += 1
            continue
        concepts.setdefault(resolve(reference, line), []).append(concept)
    if notes_as is None and standoff.remarks:
        said = "annotators' remarks (notes_as='concepts' or 'attributes' reads them)"
        faults.passed_over[said] += len(standoff.remarks)
    for line, reference, kind, remark in standoff.remarks if notes_as is not None else ():
        if reference[:1] not in {"T", "E"}:
            faults.passed_over["annotators' remarks on what is no mention"] += 1
        elif notes_as == "attributes":
            attributes.setdefault(resolve(reference, line), []).append((kind, remark))
        else:
            found = [part for part in BETWEEN_CONCEPTS.split(remark) if part]
            concepts.setdefault(resolve(reference, line), []).extend(found)
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


BRAT = Format(
    "brat",
    "brat standoff",
    read_brat,
    write_brat,
    is_folder=True,
    looks=lambda sight: any(name.lower().endswith(".ann") for name in sight.names),
)
