"""spaCy documents, one by one and as a `DocBin` (`.spacy`), the training data of spaCy.

A document carries a note twice: as spaCy's own layers (`doc.ents`, `doc.spans`, `doc.cats`),
which its components train on, and as a record in `doc.user_data`, which has the rest (ids,
attributes, relations, discontinuous mentions), so that notes come back as they were.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from clinical_tl.data.formats.categories import Categories
from clinical_tl.data.formats.cells import CELL_FIELDS
from clinical_tl.data.formats.columns import Layout
from clinical_tl.data.formats.files import File
from clinical_tl.data.formats.format import Format
from clinical_tl.data.formats.json_values import parse_json
from clinical_tl.data.formats.left_out import Losses
from clinical_tl.data.formats.note_cells import count_changed
from clinical_tl.data.formats.packing import check_unpacked
from clinical_tl.data.formats.problems import Faults, Place, UnreadableError, note_problems
from clinical_tl.data.formats.records import record_to_note
from clinical_tl.data.notes import NotesLike, as_notes, note_to_row
from clinical_tl.errors import ConfigError, NoteError, shown_id, shown_ids, shown_value
from clinical_tl.schema import Note, Span

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc
    from spacy.tokens import Span as SpacySpan

Mentions = Literal["record", "ents", "spans"]

log = logging.getLogger(__name__)

RECORD_KEY = "clinical_tl_note"
# A record is the package's own: what it says is what was meant.
_AS_WRITTEN = Layout(as_written=CELL_FIELDS)
SPANS_KEY = "clinical_tl"
# ORTH and SPACY, which make up the text, are always stored.
_ATTRIBUTES = ("ENT_IOB", "ENT_TYPE", "ENT_KB_ID")
APPLIES = 0.5


@dataclass(frozen=True)
class _Layers:
    mentions: Mentions | None
    spans_key: str
    cats: Categories

    def __post_init__(self) -> None:
        if self.mentions is not None and self.mentions not in get_args(Mentions):
            raise ConfigError(
                f"mentions={shown_value(self.mentions)}; allowed: {list(get_args(Mentions))} or "
                "None"
            )
        if self.cats not in get_args(Categories):
            raise ConfigError(
                f"cats={shown_value(self.cats)}; allowed: {list(get_args(Categories))}"
            )


def notes_to_docs(
    notes: NotesLike, *, nlp: Language | None = None, spans_key: str = SPANS_KEY
) -> list[Doc]:
    """Notes as spaCy documents, in order.

    Tokens are those of `nlp` (a blank English pipeline by default), cut in two where a mention
    begins or ends inside one, so that every mention is a stretch of tokens. All contiguous
    mentions stand in `doc.spans[spans_key]`; of those that overlap, the longest in `doc.ents`.
    `doc.cats` has every label (or code) of the notes with 1.0 or 0.0. Mentions that are in
    `doc.spans` alone, or, being discontinuous, in the record alone, are counted in the log.

    Raises `NoteError` for a note that breaks the schema.
    """
    records = as_notes(notes)
    pipeline = nlp or _blank()
    labels = sorted({note.label for note in records if note.label is not None})
    codes = sorted({code for note in records for code in note.codes or ()})
    left_out = Counter[str]()
    docs = []
    for note in records:
        for found, allowed in note_problems(note):
            raise NoteError(f"note {shown_id(note.note_id)}: {found}; allowed: {allowed}")
        doc = _tokenised(note, pipeline)
        _set_mentions(doc, note, spans_key, left_out)
        if note.label is not None:
            doc.cats.update({name: float(name == note.label) for name in labels})
        if note.codes is not None:
            doc.cats.update({code: float(code in note.codes) for code in codes})
        doc.user_data[RECORD_KEY] = _record(note)
        docs.append(doc)
    if left_out.total():
        log.warning(
            "spaCy documents: %d mentions overlap a longer one and are in doc.spans, not in "
            "doc.ents; %d are discontinuous and in neither",
            left_out["overlapping"],
            left_out["discontinuous"],
        )
    return docs


def docs_to_notes(
    docs: Iterable[Doc],
    *,
    mentions: Mentions | None = None,
    spans_key: str = SPANS_KEY,
    cats: Categories = "label",
    prefix: str = "doc",
) -> list[Note]:
    """Documents of spaCy as notes, in order; the options are those of `read_doc_bin`.

    Documents that carry no id are named `<prefix>-1`, … Raises `FaultyNotesError` for
    documents that are no sound notes.
    """
    faults = Faults(prefix)
    notes = list(_notes(docs, prefix, faults, _Layers(mentions, spans_key, cats)))
    if faults:
        raise faults.error("correct the documents, or read another layer: mentions=…, cats=…")
    return notes


def read_doc_bin(
    file: File,
    faults: Faults,
    *,
    mentions: Mentions | None = None,
    spans_key: str = SPANS_KEY,
    cats: Categories = "label",
) -> Iterator[Note]:
    """Yields a note for every document of a `DocBin`.

    Args:
        file: the file.
        faults: where what is wrong goes.
        mentions: `record`: the whole note as `write_doc_bin` put it beside the document;
            `ents` or `spans`: what spaCy's layers say, without attributes. By default the
            record where there is one, else `ents`. Documents whose `ents` were never set are
            not annotated.
        spans_key: which group of `doc.spans` to read.
        cats: `label`: the one category at or above 0.5 is the note's label; `codes`: all of
            them are its codes; or `ignore`. A record has both of its own.

    Raises:
        ConfigError: an unknown `mentions` or `cats`.
    """
    layers = _Layers(mentions, spans_key, cats)
    yield from _notes(_docs(file, faults), file.stem, faults, layers, file.name)


def write_doc_bin(notes: Iterable[Note], path: Path, losses: Losses) -> None:
    """Writes notes as `notes_to_docs` makes them; the record holds all that a note has.

    The same notes give the same bytes. Raises `NoteError` for a note that breaks the schema.
    """
    from spacy.tokens import DocBin

    records = list(losses.counted(notes))
    docs = notes_to_docs(records)
    for note in records:
        count_changed(note, losses, _AS_WRITTEN)
    DocBin(attrs=_ATTRIBUTES, store_user_data=True, docs=docs).to_disk(path)


@cache
def _blank() -> Language:
    import spacy

    return spacy.blank("en")


def _tokenised(note: Note, nlp: Language) -> Doc:
    from spacy.tokens import Doc

    text = note.text
    tokens = [(token.idx, token.idx + len(token)) for token in nlp.tokenizer(text)]
    spans = [span for span in note.spans or () if not span.is_discontinuous]
    starts, ends = {span.start for span in spans}, {span.end for span in spans}
    cuts = sorted({0, len(text), *starts, *ends, *(edge for token in tokens for edge in token)})
    words: list[str] = []
    spaces: list[bool] = []
    for start, end in pairwise(cuts):
        # A blank belongs to the word before it unless a mention begins or ends with it.
        is_trailing = text[start:end] == " " and start not in starts and end not in ends
        if is_trailing and words and not spaces[-1]:
            spaces[-1] = True
        else:
            words.append(text[start:end])
            spaces.append(False)
    return Doc(nlp.vocab, words=words, spaces=spaces)


def _set_mentions(doc: Doc, note: Note, spans_key: str, left_out: Counter[str]) -> None:
    if note.spans is None:
        return
    marked = []
    for span in note.spans:
        if span.is_discontinuous:
            left_out["discontinuous"] += 1
            continue
        concept = span.concepts[0] if len(span.concepts) == 1 else ""
        stretch = doc.char_span(span.start, span.end, label=span.label, kb_id=concept)
        if stretch is None:
            raise NoteError(
                f"note {shown_id(note.note_id)}: the mention {span.start}–{span.end} is no stretch "
                "of tokens; the pipeline's tokenizer changes the text: use a blank pipeline"
            )
        marked.append(stretch)
    doc.spans[spans_key] = marked
    taken: set[int] = set()
    entities = []
    for stretch in sorted(marked, key=lambda s: (s.start_char - s.end_char, s.start_char)):
        if taken.isdisjoint(range(stretch.start, stretch.end)):
            taken.update(range(stretch.start, stretch.end))
            entities.append(stretch)
    left_out["overlapping"] += len(marked) - len(entities)
    doc.set_ents(entities, default="outside")


def _record(note: Note) -> str:
    row = note_to_row(note)
    # The text is the document's; metadata is JSON already.
    del row["text"]
    try:
        return json.dumps(row, ensure_ascii=False, sort_keys=True, allow_nan=False)
    except ValueError:
        message = f"note {shown_id(note.note_id)}: a score that is no finite number"
        raise NoteError(message) from None


def _docs(file: File, faults: Faults) -> Iterator[Doc]:
    from spacy.tokens import DocBin
    from spacy.vocab import Vocab

    read = total = 0
    try:
        with file.bytes() as stream:
            packed = stream.read()
        check_unpacked(packed)
        held = DocBin().from_bytes(packed)
        total = len(held)
        for doc in held.get_docs(Vocab()):
            read += 1
            yield doc
    except UnreadableError:
        raise
    except Exception as error:  # spaCy's own, of many kinds
        faults.add(
            Place(file.name),
            f"no sound DocBin ({type(error).__name__})",
            "a file written by DocBin.to_disk() or write_notes()",
        )
        faults.rejected += max(total - read, 1)


def _notes(
    docs: Iterable[Doc], prefix: str, faults: Faults, layers: _Layers, file: str | None = None
) -> Iterator[Note]:
    for number, doc in enumerate(docs, 1):
        place = Place(file or prefix, number)
        read = partial(_note, doc, number, f"{prefix}-{number}", place, faults, layers)
        yield from faults.reading(read, place)


def _note(
    doc: Doc, number: int, own_id: str, place: Place, faults: Faults, layers: _Layers
) -> Note | None:
    has_record = RECORD_KEY in doc.user_data
    record = _read_record(doc, place, faults) if has_record else None
    if has_record and record is None:
        return None
    if layers.mentions == "record" and record is None:
        faults.add(place, "a document without a record", "documents of write_notes()")
        return None
    if record is not None and layers.mentions in ("record", None):
        own = {**record, "text": doc.text}
        return record_to_note(own, number, place, faults, _AS_WRITTEN)
    note_id = (record or {}).get("note_id") or own_id
    return _layered(doc, str(note_id), place, faults, layers)


def _read_record(doc: Doc, place: Place, faults: Faults) -> dict[str, object] | None:
    try:
        record = parse_json(doc.user_data[RECORD_KEY])
    except (ValueError, TypeError, RecursionError):
        record = None
    if isinstance(record, dict):
        return record
    faults.add(place, f"a broken record in user_data[{RECORD_KEY!r}]", "one of write_notes()")
    return None


def _layered(doc: Doc, note_id: str, place: Place, faults: Faults, layers: _Layers) -> Note | None:
    """The note that spaCy's own layers tell of; `None` where they can't."""
    spans: tuple[Span, ...] | None = None
    if layers.mentions == "spans":
        if layers.spans_key not in doc.spans:
            groups = shown_ids(sorted(doc.spans), "group")
            faults.add(
                place,
                f"no doc.spans[{shown_id(layers.spans_key, 'group')!r}]",
                f"one of its groups: {groups}",
            )
            return None
        spans = tuple(map(_span, doc.spans[layers.spans_key]))
    elif doc.has_annotation("ENT_IOB"):
        spans = tuple(map(_span, doc.ents))
    categories = [name for name, value in doc.cats.items() if value >= APPLIES]
    label, codes = None, None
    if layers.cats == "codes":
        codes = tuple(categories) if doc.cats else None
    elif layers.cats == "label" and len(categories) > 1:
        faults.add(
            place, f"{len(categories)} categories at or above {APPLIES}", "one, or cats='codes'"
        )
        return None
    elif layers.cats == "label":
        label = next(iter(categories), None)
    return Note(note_id, doc.text, label=label, codes=codes, spans=spans)


def _span(stretch: SpacySpan) -> Span:
    concepts = (stretch.kb_id_,) if stretch.kb_id_ else ()
    return Span(stretch.start_char, stretch.end_char, stretch.label_, concepts=concepts)


DOC_BIN = Format("docbin", "spaCy's DocBin", read_doc_bin, write_doc_bin, endings=(".spacy",))
