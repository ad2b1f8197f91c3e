"""BioC, XML and JSON: documents of passages, whose annotations have offsets over the document.

Comeau et al., BioC: a minimalist approach to interoperability for biomedical text processing,
Database 2013. PubTator exports it, and corpora of the BioCreative tasks come in it.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, TextIO
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape, quoteattr

from clinical_tl.data.formats.counting import BYTES, UTF16, Pieces, Quoted, settle
from clinical_tl.data.formats.files import BYTE_ORDER_MARK, File
from clinical_tl.data.formats.format import Format
from clinical_tl.data.formats.json_values import parse_json
from clinical_tl.data.formats.left_out import Losses
from clinical_tl.data.formats.mention import quotes, read_mention
from clinical_tl.data.formats.problems import Faults, Place, UnreadableError, note_problems
from clinical_tl.data.formats.sight import Sight
from clinical_tl.data.formats.stretches import CHARACTERS, Stretch, join
from clinical_tl.data.formats.xml_elements import NOT_IN_XML, xml_elements
from clinical_tl.errors import NoteError, shown_id
from clinical_tl.schema import Note, Relation, Span

Object = Mapping[str, object]

# Keys of infons that hold ids in a terminology, without case, blanks and marks.
CONCEPT_KEYS = frozenset(
    (
        *("identifier", "identifiers", "conceptid", "cui", "umls", "mesh", "omim", "ncbigene"),
        *("ncbitaxonomy", "snomed", "snomedct", "icd9", "icd10", "icd10cm", "loinc", "rxnorm"),
        "hpo",
    )
)
RELATION_KEYS = ("type", "relation", "relation type")
PAIRED_KEYS = (("role1", "role2"), ("entity1", "entity2"), ("head", "tail"))
TAIL_ROLES = frozenset({"tail", "target", "object", "obj", "arg2"})
NO_CONCEPTS = frozenset({"", "-", "-1", "none", "null"})
BETWEEN_CONCEPTS = re.compile(r"[;,|]")
READ_CHARACTERS = 2**20
LONGEST_PREFIX = 100


def read_bioc_xml(file: File, faults: Faults, *, label_key: str = "type") -> Iterator[Note]:
    """Yields a note for every document; one document at a time is held.

    Passages (or their sentences) stand where their offsets say, parted by a line break and blanks.
    Offsets count characters, or what makes all annotations fit: bytes, units of UTF-16. An
    annotation's infons are its label, concepts (`identifier`, `MESH`, `NCBI Gene`, …; several
    between `;`, `,` or `|`) and attributes; those of a document become metadata. Relations lead
    from their first node to the others, unless roles say which is the tail; those without nodes
    relate concepts. A file without any annotation (relation) leaves spans (relations) `None`.

    Args:
        file: the file.
        faults: where what is wrong goes.
        label_key: the infon that is the label of an annotation.
    """
    has = _Has(*_found_in(file, "annotation", "relation"))
    for line, element in xml_elements(file, faults, "document"):
        document = _object(element)
        place = Place(file.name, line, str(document["id"]))
        yield from faults.reading(partial(_note, document, place, faults, has, label_key), place)


def read_bioc_json(file: File, faults: Faults, *, label_key: str = "type") -> Iterator[Note]:
    """Yields a note for every document of a collection, of a list, or of JSON lines.

    As `read_bioc_xml`; the file is held whole.
    """
    documents = list(_documents(file, faults))
    has = _Has(
        any(_annotations(document) for _, document in documents),
        any(_relations_of(document) for _, document in documents),
    )
    for line, document in documents:
        place = Place(file.name, line, str(document.get("id", document.get("_id", ""))))
        yield from faults.reading(partial(_note, document, place, faults, has, label_key), place)


@dataclass(frozen=True)
class _Has:
    """Whether the file has annotations and relations at all."""

    spans: bool
    relations: bool


def _found_in(file: File, *names: str) -> list[bool]:
    """Whether the file has elements of these names, in whatever namespace."""
    tags = {name: re.compile(rf"<(?:[\w.-]{{1,{LONGEST_PREFIX}}}:)?{name}\b") for name in names}
    found, end = dict.fromkeys(names, False), ""
    with file.text() as stream:
        while (chunk := stream.read(READ_CHARACTERS)) and not all(found.values()):
            # A tag may be cut in two.
            end += chunk
            found = {name: seen or bool(tags[name].search(end)) for name, seen in found.items()}
            end = end[-2 * LONGEST_PREFIX :]
    return list(found.values())


def _object(element: Element) -> dict[str, object]:
    """An element of BioC XML as BioC JSON has it."""
    many: dict[str, list[object]] = {}
    own: dict[str, object] = {"infons": {}}
    infons: dict[str, str] = {}
    for child in element:
        if child.tag == "infon":
            infons[child.get("key", "")] = child.text or ""
        elif child.tag in ("passage", "sentence", "annotation", "relation"):
            many.setdefault(f"{child.tag}s", []).append(_object(child))
        elif child.tag in ("location", "node"):
            many.setdefault(f"{child.tag}s", []).append(dict(child.attrib))
        elif child.tag in ("id", "offset", "text"):
            own[child.tag] = "".join(child.itertext())
    return {"id": element.get("id", "")} | own | {"infons": infons} | many


def _documents(file: File, faults: Faults) -> Iterator[tuple[int | None, Object]]:
    for number, value in _values(file, faults):
        for document in _within(value):
            if isinstance(document, dict):
                yield number, document
            else:
                faults.add(Place(file.name, number), "no object", "documents with passages")
                faults.rejected += 1


def _values(file: File, faults: Faults) -> list[tuple[int | None, object]]:
    """The one value of a file, or those of its lines."""
    try:
        return [(None, parse_json(file.read_text().removeprefix(BYTE_ORDER_MARK)))]
    except json.JSONDecodeError as error:
        whole = error
    found: list[tuple[int | None, object]] = []
    broken: list[int] = []
    for number, line in file.lines():
        try:
            if line.strip():
                found.append((number, parse_json(line)))
        except (json.JSONDecodeError, RecursionError):
            broken.append(number)
    if not found:
        place, allowed = Place(file.name, whole.lineno), "one collection, or a document a line"
        faults.refuse(place, f"broken JSON at column {whole.colno}", allowed)
        return []
    for number in broken:
        faults.add(Place(file.name, number), "broken JSON", "a document a line")
    faults.rejected += len(broken)
    return found


def _within(value: object) -> Iterator[object]:
    """The documents of a collection, of a list of either, or of what PubTator 3 sends."""
    if isinstance(value, list):
        for item in value:
            yield from _within(item)
    elif isinstance(value, dict) and "passages" not in value:
        held = value.get("documents", value.get("PubTator3"))
        yield from _within(held) if isinstance(held, list) else iter([value])
    else:
        yield value


def _objects(holder: Object, name: str) -> list[Object]:
    value = holder.get(name)
    if value is None:
        return []
    if isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
        return value
    raise UnreadableError(f"{name} that are no list of objects", "BioC")


def _infons(holder: Object) -> dict[str, object]:
    value = holder.get("infons") or {}
    if not isinstance(value, Mapping):
        raise UnreadableError("infons that are no object", "name → value")
    return {name: infon for name, infon in value.items() if infon is not None}


def _parts(document: Object) -> Iterator[Object]:
    """Passages, and the sentences in each after it."""
    for passage in _objects(document, "passages"):
        yield passage
        yield from _objects(passage, "sentences")


def _annotations(document: Object) -> list[Object]:
    holders = [document, *_parts(document)]
    return [annotation for holder in holders for annotation in _objects(holder, "annotations")]


def _relations_of(document: Object) -> list[Object]:
    holders = [document, *_parts(document)]
    return [relation for holder in holders for relation in _objects(holder, "relations")]


def _number(holder: Object, name: str) -> int:
    value = holder.get(name)
    try:
        if isinstance(value, int | str) and not isinstance(value, bool):
            return int(value)
    except ValueError:
        pass
    raise UnreadableError(f"{name} that is missing or no whole number", "a whole number")


def _text(holder: Object) -> str:
    value = holder.get("text")
    if value is None or isinstance(value, str):
        return value or ""
    raise UnreadableError("a text that is no string", "strings")


def _stretches(document: Object) -> Iterator[Stretch]:
    for passage in _objects(document, "passages"):
        sentences = _objects(passage, "sentences")
        if _text(passage) or not sentences:
            # Passages without text (of figures, say) have offsets like any other.
            if _text(passage):
                yield Stretch(_number(passage, "offset"), _text(passage))
            continue
        for i, sentence in enumerate(sentences):
            mark = " " if i else "\n"
            yield Stretch(_number(sentence, "offset"), _text(sentence), mark)


def _note(document: Object, place: Place, faults: Faults, has: _Has, label_key: str) -> Note | None:
    mark = len(faults)
    annotations = []
    for annotation in _annotations(document):
        if _objects(annotation, "locations"):
            annotations.append(annotation)
        else:
            faults.doubtful["annotations without a place in the text, left out"] += 1
    pieces = [_pieces(annotation) for annotation in annotations]
    said = [_quoted(annotation) for annotation in annotations]
    mentions = [Quoted(own, quoted) for own, quoted in zip(pieces, said, strict=True)]
    joined = join(list(_stretches(document)), mentions, (CHARACTERS, UTF16, BYTES))
    text, hint = joined.text, ""
    if joined.unit == CHARACTERS:
        settled = settle(text, mentions, faults)
        placed, hint = list(settled.pieces), settled.hint
    else:
        faults.changed[f"notes whose offsets count {joined.unit}, read so"] += 1
        placed = [joined.pieces(own) or own for own in pieces]
    spans: list[Span] = []
    for annotation, own, quoted in zip(annotations, placed, said, strict=True):
        checked = _to_check(text, own, quoted)
        span = _span(annotation, text, own, checked, hint, place, faults, label_key)
        if span is not None:
            spans.append(span)
    relations = list(_relations(document, spans, faults)) if len(faults) == mark else []
    metadata = {name: value for name, value in _infons(document).items() if name}
    return Note(
        place.note_id or "",
        text,
        spans=tuple(spans) if has.spans else None,
        relations=tuple(relations) if has.relations else None,
        metadata=metadata,
    )


def _pieces(annotation: Object) -> list[tuple[int, int]]:
    found = []
    for location in _objects(annotation, "locations"):
        start = _number(location, "offset")
        found.append((start, start + _number(location, "length")))
    return found


def _quoted(annotation: Object) -> str | None:
    return _text(annotation) if annotation.get("text") is not None else None


def _to_check(text: str, pieces: Pieces, quoted: str | None) -> str | None:
    """What the pieces must say: some quote what lies between them, or mark that it is left out."""
    # What marks a gap may as well be what the pieces say.
    if quoted is None or len(pieces) == 1 or quotes(text, pieces, quoted):
        return quoted
    if quotes(text, [(min(pieces)[0], max(pieces)[1])], quoted):
        return None
    return quoted.replace("...", " ").replace("…", " ")


def _span(
    annotation: Object,
    text: str,
    pieces: Pieces,
    quoted: str | None,
    hint: str,
    place: Place,
    faults: Faults,
    label_key: str,
) -> Span | None:
    infons = {
        name: _listed(value) if _is_concept_key(name) else _plain(value)
        for name, value in _infons(annotation).items()
    }
    label = infons.pop(label_key, None)
    if label is None:
        names = ", ".join(sorted(shown_id(name, "infon") for name in infons)[:10]) or "none"
        faults.add(
            place,
            f"an annotation without the infon {shown_id(label_key, 'infon')!r}",
            f"label_key='…', the infon that is the label; it has {names}",
        )
        return None
    concepts: list[str] = []
    attributes: list[tuple[str, str]] = []
    for name, value in infons.items():
        if not _is_concept_key(name):
            attributes.append((name, value))
            continue
        parts = [part.strip() for part in BETWEEN_CONCEPTS.split(value)]
        own = [part for part in parts if part.lower() not in NO_CONCEPTS and part != label]
        concepts += [concept for concept in own if concept not in concepts]
        if len(own) > 1 and not set("|,").isdisjoint(value):
            # These marks mean different things: one or the other, both together.
            attributes.append(("composite", value))
    return read_mention(
        text,
        pieces,
        label,
        place,
        faults,
        quoted=quoted,
        hint=hint,
        mention_id=str(annotation.get("id") or ""),
        concepts=tuple(concepts),
        attributes=tuple(attributes),
    )


def _is_concept_key(name: str) -> bool:
    return re.sub(r"[\W_]", "", name).lower() in CONCEPT_KEYS


def _listed(value: object) -> str:
    """The concepts of an infon that is a list, as BioC has several in one string."""
    return ";".join(map(_plain, value)) if isinstance(value, list) else _plain(value)


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _relations(document: Object, spans: Sequence[Span], faults: Faults) -> Iterator[Relation]:
    ids = {span.id for span in spans if span.id}
    others = {str(relation.get("id")) for relation in _relations_of(document)} - ids
    for relation in _relations_of(document):
        infons = _infons(relation)
        label = next((_plain(infons[name]) for name in RELATION_KEYS if infons.get(name)), "")
        nodes = _objects(relation, "nodes")
        paired = next((pair for pair in PAIRED_KEYS if all(name in infons for name in pair)), None)
        if paired is None and len(nodes) < 2:
            named = [name for name in infons if name not in RELATION_KEYS]
            paired = (named[0], named[1]) if len(named) == 2 else None
        if paired is not None:
            head, tail = (_concept(infons[name]) for name in paired)
            yield Relation(head, tail, label or "relation")
            continue
        # Sorting is stable: nodes whose roles say nothing stay as they are.
        nodes = sorted(nodes, key=lambda node: str(node.get("role", "")).lower() in TAIL_ROLES)
        references = [str(node.get("refid", "")) for node in nodes]
        if others.intersection(references):
            faults.doubtful["relations of relations, left out"] += 1
            continue
        if len(references) < 2 or not ids.issuperset(references):
            raise UnreadableError(
                "a relation whose nodes are not two annotations of the document",
                "nodes whose refid is an annotation's id, or two infons with concepts",
            )
        if len(references) > 2:
            faults.doubtful["relations of more than two, read as the first to each other"] += 1
        for tail in references[1:]:
            yield Relation(references[0], tail, label or "relation")


def _concept(value: object) -> str:
    """The concept of `Disease|MESH:D005334`, or of `{"identifier": …, "type": …}`."""
    if isinstance(value, Mapping):
        value = value.get("identifier", "")
    return _plain(value).rpartition("|")[2]


def write_bioc_xml(notes: Iterable[Note], path: Path, losses: Losses) -> None:
    """Writes a collection of one document a note, each of one passage at 0.

    The label is the infon `type`, concepts are `identifier`, attributes infons of their names.
    Relations of mentions have two nodes, those of concepts two infons.

    Raises:
        NoteError: notes with unsound offsets, or characters that XML can't hold.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write('<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE collection SYSTEM ')
        file.write('"BioC.dtd">\n<collection><source></source><date></date><key></key>\n')
        for document in _written(notes, losses):
            if any(map(NOT_IN_XML.search, _strings(document))):
                raise NoteError(
                    f"note {shown_id(document['id'])}: control characters, which XML can't hold; "
                    "write format='bioc_json'"
                )
            _write_element(file, "document", document)
            file.write("\n")
        file.write("</collection>\n")


def write_bioc_json(notes: Iterable[Note], path: Path, losses: Losses) -> None:
    """Writes one collection, as `write_bioc_xml`.

    Raises:
        NoteError: notes with unsound offsets.
    """
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write('{"source": "", "date": "", "key": "", "infons": {}, "documents": [')
        for i, document in enumerate(_written(notes, losses)):
            file.write(",\n" if i else "\n")
            json.dump(document, file, ensure_ascii=False)
        file.write("\n]}\n")


def _written(notes: Iterable[Note], losses: Losses) -> Iterator[dict[str, Any]]:
    kinds: Counter[str] = Counter()
    for note in losses.counted(notes):
        for found, allowed in note_problems(note):
            raise NoteError(f"note {shown_id(note.note_id)}: {found}; allowed: {allowed}")
        losses.add_note_fields(replace(note, metadata={}))
        infons = {name: v for name, v in note.metadata.items() if name and isinstance(v, str)}
        losses.add("metadata that is no text", len(note.metadata) - len(infons))
        annotations = list(_written_spans(note, losses))
        ids = {span.id: own["id"] for span, own in zip(note.spans or (), annotations, strict=True)}
        relations = list(_written_relations(note, ids, losses))
        for name, value, kept in (
            ("spans", note.spans, annotations),
            ("relations", note.relations, relations),
        ):
            kinds[f"{name} {'none' if value is None else 'some' if kept else 'empty'}"] += 1
        passage = {
            "offset": 0,
            "infons": {},
            "text": note.text,
            "sentences": [],
            "annotations": annotations,
            "relations": [],
        }
        yield {
            "id": note.note_id,
            "infons": infons,
            "passages": [passage],
            "annotations": [],
            "relations": relations,
        }
    # A reader takes a note without any as its neighbours suggest.
    for name in ("spans", "relations"):
        losses.add(
            f"notes whose {name} are None where others have some, or empty where none has any",
            kinds[f"{name} none"] if kinds[f"{name} some"] else kinds[f"{name} empty"],
        )


def _written_spans(note: Note, losses: Losses) -> Iterator[dict[str, Any]]:
    taken = {span.id for span in note.spans or ()}
    free = (f"T{number}" for number in count(1) if f"T{number}" not in taken)
    for span in note.spans or ():
        concepts = [concept for concept in span.concepts if _fits(concept, span)]
        losses.add("concepts that are lists or marks", len(span.concepts) - len(concepts))
        infons = {"type": span.label} | ({"identifier": ";".join(concepts)} if concepts else {})
        for name, value in span.attributes:
            if name in infons or _is_concept_key(name) or not name:
                losses.add("attributes of a name that BioC needs, or that another one has")
            else:
                infons[name] = value
        pieces = span.fragments or ((span.start, span.end),)
        yield {
            "id": span.id or next(free),
            "infons": infons,
            "text": " ".join(note.text[start:end] for start, end in pieces),
            "locations": [{"offset": start, "length": end - start} for start, end in pieces],
        }


def _fits(concept: str, span: Span) -> bool:
    is_plain = concept == concept.strip() and not BETWEEN_CONCEPTS.search(concept)
    is_alone = concept.lower() not in NO_CONCEPTS and concept != span.label
    return is_plain and is_alone and span.concepts.count(concept) == 1


def _written_relations(
    note: Note, ids: Mapping[str, str], losses: Losses
) -> Iterator[dict[str, Any]]:
    number = 0
    for relation in note.relations or ():
        ends = (("head", relation.head), ("tail", relation.tail))
        held = [end in ids for _, end in ends]
        if not relation.label or any(held) != all(held) or "|" in relation.head + relation.tail:
            losses.add("relations without a label, or of a mention and a concept")
            continue
        number += 1
        infons = {"type": relation.label}
        nodes = [{"refid": ids[end], "role": role} for role, end in ends] if all(held) else []
        if not nodes:
            infons |= {"role1": relation.head, "role2": relation.tail}
        yield {"id": f"R{number}", "infons": infons, "nodes": nodes}


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from map(str, value)
        value = list(value.values())
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def _write_element(file: TextIO, name: str, value: Mapping[str, Any]) -> None:
    """Writes an object of BioC JSON as BioC XML has it."""
    has_id = name in ("annotation", "relation")
    file.write(f"<{name} id={quoteattr(value['id'])}>" if has_id else f"<{name}>")
    if name == "document":
        file.write(f"<id>{_escaped(value['id'])}</id>")
    for key, text in value["infons"].items():
        file.write(f"<infon key={quoteattr(key)}>{_escaped(text)}</infon>")
    if "offset" in value:
        file.write(f"<offset>{value['offset']}</offset>")
    for piece in value.get("locations", ()):
        file.write(f'<location offset="{piece["offset"]}" length="{piece["length"]}"/>')
    if "text" in value:
        file.write(f"<text>{_escaped(value['text'])}</text>")
    for node in value.get("nodes", ()):
        file.write(f"<node refid={quoteattr(node['refid'])} role={quoteattr(node['role'])}/>")
    for inner in ("passage", "annotation", "relation"):
        for item in value.get(f"{inner}s", ()):
            _write_element(file, inner, item)
    file.write(f"</{name}>")


def _escaped(text: str) -> str:
    # A bare one would be read as a line feed.
    return escape(text, {"\r": "&#13;"})


def _looks_like_json(sight: Sight) -> bool:
    is_held = re.search(r'"passages"\s*:\s*\[', sight.text) is not None
    return sight.is_json and is_held and re.search(r'"offset"\s*:\s*\d', sight.text) is not None


BIOC_XML = Format(
    "bioc_xml",
    "BioC XML",
    read_bioc_xml,
    write_bioc_xml,
    endings=(".bioc.xml", ".bioc"),
    looks=lambda sight: (
        sight.root in {"collection", "document"}
        and re.search(r"<(?:[\w.-]+:)?passage\b", sight.text) is not None
    ),
)

BIOC_JSON = Format(
    "bioc_json",
    "BioC JSON",
    read_bioc_json,
    write_bioc_json,
    endings=(".bioc.json", ".bioc.jsonl"),
    looks=_looks_like_json,
)
