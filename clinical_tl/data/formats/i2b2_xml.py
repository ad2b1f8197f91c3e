"""XML of the i2b2 and n2c2 shared tasks: a text, and tags with offsets or about the whole of it.

De-identification (2006 with tags in the text, 2014), smoking status (2006), temporal relations
(2012), risk factors (2014) and cohort selection (2018); and whatever else the annotation tool MAE
(Stubbs 2011, MAE and MAI) writes. The tasks of 2018 on adverse drug events and 2019 are BRAT.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args
from xml.etree.ElementTree import Element

from clinical_tl.data.formats.counting import Pieces, Quoted, settle
from clinical_tl.data.formats.files import File
from clinical_tl.data.formats.format import Format
from clinical_tl.data.formats.mention import read_mention
from clinical_tl.data.formats.problems import Faults, Place, UnreadableError
from clinical_tl.data.formats.sight import Sight
from clinical_tl.data.formats.xml_elements import xml_elements
from clinical_tl.errors import ConfigError, shown_value
from clinical_tl.schema import Note, Relation, Span

LabelledBy = Literal["type", "element"]

OFFSETS = re.compile(r"[0-9]{1,12}~[0-9]{1,12}(?:,[0-9]{1,12}~[0-9]{1,12})*")
# The corpora of 2014 name their files by patient and visit.
OF_PATIENT = re.compile(r"(?:.*/)?(?P<patient>[0-9]{2,6})-[0-9]{2}")
ROOTS_OF_2014 = ("deIdi2b2", "root")
OWN_ATTRIBUTES = frozenset({"id", "start", "end", "spans", "text", "comment"})


def read_i2b2_xml(
    file: File, faults: Faults, *, labelled_by: LabelledBy = "type"
) -> Iterator[Note]:
    """Yields a note for every record: the one of a file, or each `RECORD` of it.

    The id is the file's name (within a folder, its path), or the record's. The patient of
    `220-01.xml`, as the corpora of 2014 name their files, is 220.

    - Tags with offsets (`start` and `end`, or `spans="3~8,10~12"`), and tags within the text, are
      spans; their attributes are attributes.
    - Tags without offsets say something of the whole text: `met="met"` makes the tag's name a
      code (`met="not met"` none), others are codes of name and values
      (`DIABETES/mention/during DCT`). `SMOKING` is the label.
    - Links (`fromID`, `toID`) are relations, labelled by type.

    Args:
        file: the file.
        faults: where what is wrong goes.
        labelled_by: what labels a span: its `type` (`PATIENT`), if it has one, or the name of its
            `element` (`NAME`). The other one is an attribute.

    Raises:
        ConfigError: unknown `labelled_by`.
    """
    if labelled_by not in get_args(LabelledBy):
        raise ConfigError(
            f"labelled_by={shown_value(labelled_by)}; allowed: {list(get_args(LabelledBy))}"
        )
    sight = Sight.of(file)
    has_records = re.search(r"<RECORD\b", sight.text) is not None
    for line, element in xml_elements(file, faults, "RECORD" if has_records else ""):
        note_id = element.get("ID", "") if has_records else file.bare_name
        named = OF_PATIENT.fullmatch(note_id) if sight.root in ROOTS_OF_2014 else None
        patient = named["patient"] if named else None
        place = Place(file.name, line, note_id)
        yield from faults.reading(
            partial(_note, element, place, faults, patient, labelled_by), place
        )


@dataclass(frozen=True)
class _Tag:
    """A tag with offsets."""

    element: Element
    mention: Quoted


def _note(
    record: Element, place: Place, faults: Faults, patient: str | None, labelled_by: LabelledBy
) -> Note | None:
    holder = record.find("TEXT")
    if holder is None:
        raise UnreadableError("a record without <TEXT>", "<TEXT> and <TAGS>")
    text, tags = "".join(holder.itertext()), list(_within(holder))
    codes: list[str] = []
    relations: list[Relation] = []
    has_codes = has_links = False
    for element in record.iterfind("TAGS//*"):
        pieces = _pieces(element)
        ends = {name.lower(): value for name, value in element.attrib.items()}
        if pieces is not None:
            tags.append(_Tag(element, Quoted(pieces, element.get("text") or None)))
        elif "fromid" in ends or "toid" in ends:
            has_links = True
            label = _type(element) or element.tag
            relations.append(Relation(ends.get("fromid", ""), ends.get("toid", ""), label))
        elif element.get("met", "met").strip().lower() != "not met":
            has_codes = True
            codes.append(_code(element))
        else:
            has_codes = True
    settled = settle(text, [tag.mention for tag in tags], faults)
    spans = [
        _span(tag, own, settled.hint, text, place, faults, labelled_by)
        for tag, own in zip(tags, settled.pieces, strict=True)
    ]
    is_annotated = bool(tags) or (record.find("TAGS") is not None and not has_codes)
    smoking = record.find("SMOKING")
    return Note(
        place.note_id or "",
        text,
        patient_id=patient,
        label=None if smoking is None else smoking.get("STATUS"),
        codes=tuple(dict.fromkeys(codes)) if has_codes else None,
        spans=tuple(span for span in spans if span is not None) if is_annotated else None,
        relations=tuple(relations) if has_links else None,
    )


def _within(holder: Element, at: int = 0) -> Iterator[_Tag]:
    """The tags within a text that begins at a character."""
    at += len(holder.text or "")
    for element in holder:
        length = len("".join(element.itertext()))
        yield _Tag(element, Quoted([(at, at + length)], None))
        yield from _within(element, at)
        at += length + len(element.tail or "")


def _pieces(element: Element) -> Pieces | None:
    """Where a tag stands; `None` if it is about the whole text (which MAE writes as -1)."""
    spans = element.get("spans")
    if spans is not None:
        if spans == "-1~-1":
            return None
        if not OFFSETS.fullmatch(spans):
            raise UnreadableError("spans that can't be read", 'spans="3~8", or with commas')
        pairs = (piece.split("~") for piece in spans.split(","))
        return [(int(start), int(end)) for start, end in pairs]
    if element.get("start") is None or element.get("end") is None:
        return None
    try:
        start, end = int(element.get("start", "")), int(element.get("end", ""))
    except ValueError:
        raise UnreadableError("start or end that is no number", "whole numbers") from None
    return None if start < 0 and end < 0 else [(start, end)]


def _span(
    tag: _Tag,
    pieces: Pieces,
    hint: str,
    text: str,
    place: Place,
    faults: Faults,
    labelled_by: LabelledBy,
) -> Span | None:
    element, kind = tag.element, _type(tag.element)
    label = kind if kind and labelled_by == "type" else element.tag
    attributes = [
        (name, value)
        for name, value in element.attrib.items()
        if name.lower() not in OWN_ATTRIBUTES | {"type"} and value.strip()
    ]
    if element.get("comment", "").strip():
        attributes.append(("comment", element.get("comment", "")))
    if kind and kind != element.tag:
        other = ("element", element.tag) if labelled_by == "type" else ("type", kind)
        attributes.insert(0, other)
    return read_mention(
        text,
        pieces,
        label,
        place,
        faults,
        quoted=tag.mention.quoted,
        hint=hint,
        mention_id=element.get("id", ""),
        attributes=tuple(attributes),
    )


def _type(element: Element) -> str:
    return element.get("TYPE") or element.get("type") or ""


def _code(element: Element) -> str:
    ignored = OWN_ATTRIBUTES | {"met"}
    values = [v for name, v in element.attrib.items() if name.lower() not in ignored and v.strip()]
    return "/".join([element.tag, *values])


def _looks(sight: Sight) -> bool:
    has_tags = re.search(r"<TAGS\b|<TEXT>\s*<!\[CDATA\[|<RECORD ID=", sight.text) is not None
    return bool(sight.root) and "<TEXT>" in sight.text and has_tags


I2B2_XML = Format("i2b2_xml", "XML of the i2b2 and n2c2 tasks", read_i2b2_xml, looks=_looks)
