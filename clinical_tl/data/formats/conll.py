"""CoNLL: one token and its tag a line, a blank line after each sentence."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby, pairwise
from pathlib import Path
from typing import Literal, get_args

from clinical_tl.data.formats.files import File
from clinical_tl.data.formats.format import Format
from clinical_tl.data.formats.left_out import Losses
from clinical_tl.data.formats.problems import Faults, Place
from clinical_tl.data.formats.token_line import token_line
from clinical_tl.display.discreet import Discreet
from clinical_tl.errors import ConfigError, NoteError, shown_id, shown_value
from clinical_tl.schema import Note, Span
from clinical_tl.text.scripts import Bounds
from clinical_tl.text.words import word_bounds

Scheme = Literal["BIO", "IOB1", "BILOU", "IOBES"]

PREFIXES: dict[str, dict[str, str]] = {
    "BIO": {"B": "B", "I": "I"},
    "IOB1": {"B": "B", "I": "I"},
    "BILOU": {"B": "B", "I": "I", "L": "L", "U": "U"},
    "IOBES": {"B": "B", "I": "I", "E": "L", "S": "U"},
}


def tagged_runs(
    tags: Sequence[str], scheme: Scheme
) -> tuple[list[tuple[int, int, str]], list[tuple[int, str]]]:
    """Decodes one sentence's tags.

    Args:
        tags: one a token: `O`, or prefix, dash and label.
        scheme: `BIO` (IOB2: every run begins with B), `IOB1` (B only between adjoining runs of
            one label), `BILOU` or `IOBES` (last and single tokens are marked, too).

    Returns:
        The runs as (first token, token after the last, label), and what is wrong as (token,
        reason); a wrong tag ends the run before it and belongs to none.
    """
    runs: list[tuple[int, int, str]] = []
    wrong: list[tuple[int, str]] = []
    marks_ends = scheme in ("BILOU", "IOBES")
    start, label = -1, ""
    for i, tag in enumerate([*tags, "O"]):
        prefix, own = _split(tag, scheme)
        if prefix == "?":
            wrong.append((i, f"a tag that is not of the scheme {scheme}"))
        continues = start >= 0 and prefix in ("I", "L") and own == label
        if start >= 0 and not continues:
            if marks_ends:
                wrong.append((i - 1, "a mention that is not closed"))
            runs.append((start, i, label))
            start = -1
        if prefix == "U":
            runs.append((i, i + 1, own))
        elif prefix == "B" or (prefix == "I" and not continues and scheme == "IOB1"):
            start, label = i, own
        elif prefix in ("I", "L") and not continues:
            wrong.append((i, "a tag inside a mention that has not begun"))
        elif prefix == "L":
            runs.append((start, i + 1, label))
            start = -1
    return runs, wrong


def _split(tag: str, scheme: Scheme) -> tuple[str, str]:
    if tag == "O":
        return "O", ""
    prefix, dash, label = tag.partition("-")
    if not dash or not label or prefix not in PREFIXES[scheme]:
        return "?", ""
    return PREFIXES[scheme][prefix], label


Grouping = Literal["auto", "sentence", "file"]

# CoNLL-U, plain ids, JNLPBA ("###MEDLINE:1"), CoNLL-2012 and CoNLL-2003, in this order.
DOCUMENT_MARK = re.compile(
    r"#\s*(?:newdoc(?:\s+id)?|doc(?:ument)?[ _]?id)(?P<id>[^\t]*)"
    r"|#{3,}\s*(?:\w+\s*[:=])?(?P<numbered>[^\t#]*)"
    r"|#begin document(?:\s+\((?P<begun>[^()\t]+)\))?(?P<part>[^\t]*)"
    r"|-DOCSTART-(?:\s+\((?P<named>[^()\t]+)\))?(?:\s.*)?"
)
COMMENT = re.compile(r"#\s*\w[\w ]*=[^\t]*|#end document")


# Marks and characters of zero width: they go with what stands before them.
_NO_BEGINNING = {"Mn", "Mc", "Me", "Cf"}


@dataclass(frozen=True, eq=False, repr=False)
class _Sentence(Discreet):
    document: int  # how many document marks stand above it
    document_id: str
    rows: tuple[tuple[int, list[str]], ...]  # line number, cells


def read_conll(
    file: File,
    faults: Faults,
    *,
    scheme: Scheme = "BIO",
    grouping: Grouping = "auto",
    token_column: int = 0,
    tag_column: int = -1,
    id_column: int | None = None,
) -> Iterator[Note]:
    """Yields a note for every document.

    Columns are separated by tabs, or by spaces in a line without a tab. The text is rebuilt:
    one space between tokens (none beside scripts that set none, as Chinese and Thai), one line
    break between sentences. A document whose lines have
    one column is not annotated (`spans=None`).

    Args:
        file: the file.
        faults: where what is wrong goes, tag sequences against the scheme among it.
        scheme: `BIO` (IOB2), `IOB1`, `BILOU` or `IOBES`.
        grouping: `auto`: documents begin at `-DOCSTART-`, `# newdoc id = …`, `###<id>` and
            `#begin document` lines, and a sentence with no such line above it is a note of its
            own; `sentence`: every sentence is a note; `file`: the file is one note.
        token_column: which column holds the token; negative ones count from the end.
        tag_column: which column holds the tag.
        id_column: a column with a document id, which then decides the documents.

    Raises:
        ConfigError: an unknown scheme or grouping.
    """
    _check_choice("scheme", scheme, get_args(Scheme))
    _check_choice("grouping", grouping, get_args(Grouping))
    name = file.stem
    schemes = _Schemes(scheme)
    has_columns = tag_column != 0 and any(_cells(line)[1:] for _, line in file.lines())
    sentences = enumerate(_sentences(file, faults), 1)

    def key(numbered: tuple[int, _Sentence]) -> tuple[str, str]:
        number, sentence = numbered
        if id_column is not None:
            cells = sentence.rows[0][1]
            return "id", cells[id_column] if -len(cells) <= id_column < len(cells) else ""
        if grouping == "file":
            return "file", name
        if grouping == "auto" and sentence.document:
            return f"document {sentence.document}", sentence.document_id
        return f"sentence {number}", f"{name}-{number}"

    for (kind, note_id), group in groupby(sentences, key):
        members = [sentence for _, sentence in group]
        place = Place(file.name, members[0].rows[0][0], note_id)
        columns = (token_column, tag_column, id_column)
        is_alone = has_columns and kind.startswith("sentence")
        read = partial(_checked, members, note_id, place, faults, columns, schemes, is_alone)
        yield from faults.reading(read, place)
    _judge(schemes, Place(file.name), faults)


def _checked(
    sentences: Sequence[_Sentence],
    note_id: str,
    place: Place,
    faults: Faults,
    columns: tuple[int, int, int | None],
    schemes: _Schemes,
    is_alone: bool,
) -> Note | None:
    mark = len(faults)
    if is_alone and len(sentences[0].rows) == 1 and len(sentences[0].rows[0][1]) == 1:
        faults.add(
            place,
            "a line of one column between sentences with tags",
            "a tag for every token; documents under marks such as '# newdoc id = …'",
        )
    else:
        _check_rows(sentences, note_id, place, faults, columns)
    if len(faults) > mark:
        return None
    return _note(sentences, note_id, place, faults, columns, schemes)


@dataclass
class _Schemes:
    """How many sentences with mentions are valid in each scheme, the chosen one among them."""

    chosen: Scheme
    sentences: int = 0
    valid: Counter[str] = field(default_factory=Counter)

    def count(self, tags: Sequence[str], *, is_valid: bool) -> None:
        """Counts one sentence."""
        if set(tags) == {"O"}:
            return
        self.sentences += 1
        self.valid[self.chosen] += is_valid
        for other in get_args(Scheme):
            if other != self.chosen and not tagged_runs(tags, other)[1]:
                self.valid[other] += 1


def _judge(schemes: _Schemes, place: Place, faults: Faults) -> None:
    # Where most mentions are faults, the sentences without any would be all that is kept.
    fitting = schemes.valid[schemes.chosen]
    if 2 * fitting >= schemes.sentences:
        return
    best = max(get_args(Scheme), key=lambda scheme: schemes.valid[scheme])
    found = (
        f"tags that are not {schemes.chosen}: {fitting} of {schemes.sentences} sentences with "
        f"mentions fit it, {schemes.valid[best]} fit {best}"
    )
    if 2 * schemes.valid[best] > schemes.sentences:
        faults.refuse(place, found, f"scheme={best!r}")
    elif schemes.sentences > 1:
        faults.refuse(
            place, found, f"tags of one scheme, of {list(get_args(Scheme))}, in tag_column"
        )


def _check_choice(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ConfigError(f"{name}={shown_value(value)}; allowed: {list(allowed)}")


def _sentences(file: File, faults: Faults) -> Iterator[_Sentence]:
    documents, document_id, is_empty = 0, "", False
    rows: list[tuple[int, list[str]]] = []
    number = 0
    for number, line in file.lines():
        mark = DOCUMENT_MARK.fullmatch(line)
        if rows and (mark is not None or not line.strip()):
            yield _Sentence(documents, document_id, tuple(rows))
            rows = []
        if mark is not None:
            if is_empty:
                _add_empty(Place(file.name, number), faults)
            documents, is_empty = documents + 1, True
            document_id = _document_id(mark) or f"{file.stem}-{documents}"
        elif line.strip() and not COMMENT.fullmatch(line):
            rows.append((number, _cells(line)))
            is_empty = False
    if rows:
        yield _Sentence(documents, document_id, tuple(rows))
    elif is_empty:
        _add_empty(Place(file.name, number), faults)


def _cells(line: str) -> list[str]:
    return line.split("\t") if "\t" in line else line.strip(" ").split(" ")


def _document_id(mark: re.Match[str]) -> str:
    if mark["id"] is not None:
        return mark["id"].strip().lstrip("=:").strip()
    if mark["begun"] is not None:
        # One document is cut into parts there.
        return f"{mark['begun']}{mark['part'].replace(';', '').rstrip()}".replace(" ", "-")
    return (mark["numbered"] or mark["named"] or "").strip()


def _add_empty(place: Place, faults: Faults) -> None:
    faults.add(place, "no token since the document mark above", "at least one token a document")
    faults.rejected += 1


def _check_rows(
    sentences: Sequence[_Sentence],
    note_id: str,
    place: Place,
    faults: Faults,
    columns: tuple[int, int, int | None],
) -> None:
    token_column, _, id_column = columns
    width = len(sentences[0].rows[0][1])
    # A file of tokens alone has no tag column to look for.
    asked = [column for column in columns if column is not None and (width > 1 or column > 0)]
    for line, cells in (row for sentence in sentences for row in sentence.rows):
        if len(cells) != width:
            faults.add(place.at(line), f"{len(cells)} columns", f"{width}, as in the line above")
        elif any(not -width <= column < width for column in asked):
            faults.add(place.at(line), f"{width} columns", f"columns {asked} (from 0)")
        elif not cells[token_column].strip():
            faults.add(place.at(line), "a line without a token", "token and tag")
        elif id_column is not None and cells[id_column] != note_id:
            faults.add(place.at(line), "another document's id within a sentence", "one id")


def _note(
    sentences: Sequence[_Sentence],
    note_id: str,
    place: Place,
    faults: Faults,
    columns: tuple[int, int, int | None],
    schemes: _Schemes,
) -> Note:
    token_column, tag_column, _ = columns
    is_tagged = len(sentences[0].rows[0][1]) > 1
    lines: list[str] = []
    spans: list[Span] = []
    offset = 0
    for sentence in sentences:
        tokens = [cells[token_column] for _, cells in sentence.rows]
        line, starts = token_line(tokens, offset)
        lines.append(line)
        offset += len(line) + 1
        if is_tagged:
            tags = [cells[tag_column] for _, cells in sentence.rows]
            runs, wrong = tagged_runs(tags, schemes.chosen)
            schemes.count(tags, is_valid=not wrong)
            for i, reason in wrong:
                faults.add(
                    place.at(sentence.rows[i][0]), reason, f"a valid {schemes.chosen} sequence"
                )
            for first, end, label in runs:
                spans.append(Span(starts[first], starts[end - 1] + len(tokens[end - 1]), label))
    return Note(note_id, "\n".join(lines), spans=tuple(spans) if is_tagged else None)


def write_conll(notes: Iterable[Note], path: Path, losses: Losses) -> None:
    """Writes tokens and BIO tags, tab-separated, under one `# newdoc id = …` line a note.

    Tokens are words and single other characters (`text.words`), cut where a mention begins or
    ends inside one, which is counted; sentences are the text's lines, joined where a mention
    runs on. Spacing is not kept. Notes whose spans are `None` get no tag column. Mentions that
    begin or end on white space or inside a character, that are discontinuous, or that overlap a
    longer one count as lost, as do all fields that tags can't hold.

    Raises:
        NoteError: an id that does not fit in one line.
    """
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for note in losses.counted(notes):
            if note.note_id != note.note_id.strip() or any(c in note.note_id for c in "\t\r\n"):
                raise NoteError(
                    f"note {shown_id(note.note_id)}: the id has tabs, line breaks or outer spaces; "
                    "CoNLL needs ids that fit in one line"
                )
            _count_losses(note, losses)
            sentences = list(_tagged_sentences(note, losses))
            if not sentences:
                losses.add("notes without a token")
                continue
            file.write(f"# newdoc id = {note.note_id}\n")
            for sentence in sentences:
                file.writelines("\t".join(row) + "\n" for row in sentence)
                file.write("\n")


def _count_losses(note: Note, losses: Losses) -> None:
    losses.add_note_fields(note)
    losses.add("relations (notes)", note.relations is not None)
    losses.add("concepts", sum(len(span.concepts) for span in note.spans or ()))
    losses.add("attributes", sum(len(span.attributes) for span in note.spans or ()))


def _tagged_spans(note: Note, words: Bounds, losses: Losses) -> list[Span]:
    """The mentions that tags can hold; of overlapping ones the longest."""
    borders = {edge for word in words for edge in word}
    kept: list[Span] = []
    taken: set[int] = set()
    for span in sorted(note.spans or (), key=lambda span: (span.start - span.end, span.start)):
        stretch, said = range(span.start, span.end), note.text[span.start : span.end]
        if span.is_discontinuous:
            losses.add("discontinuous mentions")
        elif not said or said != said.strip():
            losses.add("mentions that begin or end on white space")
        elif any(
            edge not in borders and unicodedata.category(note.text[edge]) in _NO_BEGINNING
            for edge in (span.start, span.end)
        ):
            losses.add("mentions that begin or end inside a character")
        elif span.label != span.label.strip() or any(c in span.label for c in "\t\r\n"):
            losses.add("mentions whose label does not fit in a tag")
        elif not taken.isdisjoint(stretch):
            losses.add("mentions that overlap a longer one")
        else:
            taken.update(stretch)
            kept.append(span)
    return kept


def _cut(words: Bounds, edges: set[int]) -> Iterator[tuple[int, int]]:
    """The words cut at those edges that lie inside them."""
    for start, end in words:
        inside = (edge for edge in range(start + 1, end) if edge in edges)
        yield from pairwise([start, *inside, end])


def _tagged_sentences(note: Note, losses: Losses) -> Iterator[list[tuple[str, ...]]]:
    words = word_bounds(note.text)
    spans = _tagged_spans(note, words, losses)
    tokens = list(_cut(words, {edge for span in spans for edge in (span.start, span.end)}))
    losses.add("words cut where a mention begins or ends", len(tokens) - len(words))
    tags = ["O"] * len(tokens)
    for span in spans:
        first = bisect_left(tokens, (span.start, 0))
        stop = bisect_left(tokens, (span.end, 0))
        tags[first:stop] = [f"B-{span.label}"] + [f"I-{span.label}"] * (stop - first - 1)
    sentence: list[tuple[str, ...]] = []
    for i, (start, end) in enumerate(tokens):
        breaks = i > 0 and "\n" in note.text[tokens[i - 1][1] : start]
        if sentence and breaks and not tags[i].startswith("I-"):
            yield sentence
            sentence = []
        token = note.text[start:end]
        sentence.append((token,) if note.spans is None else (token, tags[i]))
    if sentence:
        yield sentence


CONLL = Format(
    "conll",
    "CoNLL, a token and its tag a line",
    read_conll,
    write_conll,
    endings=(".conll", ".bio", ".iob", ".iob2", ".iobes", ".bilou"),
)
