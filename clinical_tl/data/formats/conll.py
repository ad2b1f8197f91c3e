"""CoNLL: one token and its tag a line, a blank line after each sentence."""

from __future__ import annotations

import logging
import re
import unicodedata
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby, pairwise
from pathlib import Path
from typing import Literal, get_args

from clinical_tl.data.formats.files import File
from clinical_tl.data.formats.format import Format
from clinical_tl.data.formats.left_out import Losses
from clinical_tl.data.formats.problems import Faults, Place
from clinical_tl.data.formats.sight import Sight
from clinical_tl.data.formats.tag_schemes import (
    OUTSIDE,
    SCHEMES,
    Scheme,
    SeenTags,
    Tagging,
    tagged_runs,
)
from clinical_tl.data.formats.token_line import token_line
from clinical_tl.display.discreet import Discreet
from clinical_tl.errors import ConfigError, NoteError, shown_id, shown_path, shown_value
from clinical_tl.schema import Note, Span
from clinical_tl.text.scripts import Bounds
from clinical_tl.text.words import word_bounds

log = logging.getLogger(__name__)

Grouping = Literal["auto", "sentence", "blank_lines", "file"]

# CoNLL-U, plain ids, JNLPBA ("###MEDLINE:1"), CoNLL-2012 and CoNLL-2003, in this order.
DOCUMENT_MARK = re.compile(
    r"#\s*(?:newdoc(?:\s+id)?|doc(?:ument)?[ _]?id)(?P<id>[^\t]*)"
    r"|#{3,}\s*(?:\w+\s*[:=])?(?P<numbered>[^\t#]*)"
    r"|#begin document(?:\s+\((?P<begun>[^()\t]+)\))?(?P<part>[^\t]*)"
    r"|-DOCSTART-(?:\s+\((?P<named>[^()\t]+)\))?(?:\s.*)?"
)
COMMENT = re.compile(r"#\s*\w[\w .:-]*=.*|#\s*(?:end document|newpar)\b[^\t]*")
# CoNLL-U numbers its rows; 3-4 is a token of several words, whose rows follow, 8.1 a word unsaid.
ROW_NUMBER = re.compile(r"[0-9]+")
UNNUMBERED = re.compile(r"[0-9]+[-.][0-9]+")
# What stands so on every line is tags.
SURE_TAG = re.compile(r"O|[BIESLUM]-\S+")
# What CoNLL-2000 and CoNLL-2003 tag beside the names: no rivals of those.
PHRASES = {"NP", "VP", "PP", "ADJP", "ADVP", "SBAR", "PRT", "CONJP", "INTJ", "LST", "UCP"}


# Marks and characters of zero width: they go with what stands before them.
_NO_BEGINNING = {"Mn", "Mc", "Me", "Cf"}


@dataclass(frozen=True, eq=False, repr=False)
class _Sentence(Discreet):
    block: int  # how many times two blank lines or more stand above it, from 1
    document: int  # how many document marks stand above it
    document_id: str
    rows: tuple[tuple[int, list[str]], ...]  # line number, cells


@dataclass(frozen=True)
class _Plan:
    """Which column holds what, and how the tags are meant."""

    token: int
    tag: int
    id: int | None
    is_numbered: bool
    has_tags: bool
    tagging: Tagging

    @property
    def columns(self) -> list[int]:
        return [self.token, self.tag, *([] if self.id is None else [self.id])]


def read_conll(
    file: File,
    faults: Faults,
    *,
    scheme: Scheme | Literal["auto"] = "auto",
    grouping: Grouping = "auto",
    token_column: int | None = None,
    tag_column: int | None = None,
    id_column: int | None = None,
    mention_label: str | None = None,
) -> Iterator[Note]:
    """Yields a note for every document.

    Columns are separated by tabs, or by blanks in a line without a tab. The text is rebuilt:
    one space between tokens (none beside scripts that set none, as Chinese and Thai), one line
    break between sentences. A document whose lines have one column is not annotated
    (`spans=None`).

    Tags may have their mark in front or behind, in capitals or not, after a dash or an
    underscore (`B-Drug`, `b_Drug`, `Drug-B`), all of a file in one way.

    Args:
        file: the file.
        faults: where what is wrong goes, tag sequences against the scheme among it.
        scheme: `BIO` (IOB2), `IOB1`, `IOBES` (BMES too), `BILOU`, or `IO` (labels, or `I-` before
            them). `auto`: the one in which all tags of the file are valid, `BIO` before the
            others; where there is none, the likeliest, and what is invalid in it is a fault.
        grouping: `auto`: documents begin at `-DOCSTART-`, `# newdoc id = …`, `###<id>` and
            `#begin document` lines, and a sentence with no such line above it is a note of its
            own; `sentence`: every sentence is a note; `blank_lines`: documents are parted by two
            blank lines or more; `file`: the file is one note.
        token_column: which column holds the token; negative ones count from the end. By default
            the first that holds neither tags nor, as in CoNLL-U, numbers of rows; where most of
            its rows say what the one above says, as ids do, the input is refused.
        tag_column: which column holds the tag. By default the last one, or, if that holds no
            tags, the last one that holds nothing else; where several hold tags (of other things
            than phrases, as `B-NP`), the input is refused.
        id_column: a column with a document id, which then decides the documents.
        mention_label: what all mentions are, in a file whose tags are `B`, `I` and `O` alone.

    Raises:
        ConfigError: an unknown scheme or grouping.
    """
    _check_choice("scheme", scheme, ["auto", *SCHEMES])
    _check_choice("grouping", grouping, get_args(Grouping))
    name = file.stem
    given = (token_column, tag_column, id_column)
    plan = _plan(file, given, None if scheme == "auto" else scheme, mention_label, faults)
    if plan is None:
        return
    schemes = _Schemes(plan.tagging)
    sentences = enumerate(_sentences(file, faults, is_numbered=plan.is_numbered), 1)

    def key(numbered: tuple[int, _Sentence]) -> tuple[str, str]:
        number, sentence = numbered
        if id_column is not None:
            cells = sentence.rows[0][1]
            return "id", cells[id_column] if -len(cells) <= id_column < len(cells) else ""
        if grouping == "file":
            return "file", name
        if grouping == "blank_lines":
            return "block", f"{name}-{sentence.block}"
        if grouping == "auto" and sentence.document:
            return f"document {sentence.document}", sentence.document_id
        return f"sentence {number}", f"{name}-{number}"

    for (kind, note_id), group in groupby(sentences, key):
        members = [sentence for _, sentence in group]
        place = Place(file.name, members[0].rows[0][0], note_id)
        is_alone = plan.has_tags and kind.startswith("sentence")
        read = partial(_checked, members, note_id, place, faults, plan, schemes, is_alone)
        yield from faults.reading(read, place)
    _judge(schemes, Place(file.name), faults)


def _plan(
    file: File,
    given: tuple[int | None, int | None, int | None],
    scheme: Scheme | None,
    label: str | None,
    faults: Faults,
) -> _Plan | None:
    """Looks through the file; `None` where its tags can't be understood, which is then told."""
    token, tag, own_id = given
    seen: dict[int, SeenTags] = defaultdict(SeenTags)
    is_numbered, widest = True, 1
    for sentence in _sentences(file, Faults(file.name)):
        rows = [cells for _, cells in sentence.rows]
        width = len(rows[0])
        if width == 1 or any(len(cells) != width for cells in rows):
            continue
        widest = max(widest, width)
        is_numbered = is_numbered and width > 2 and _are_numbered([cells[0] for cells in rows])
        taken = {column % width for column in (token, own_id) if column is not None}
        for column in range(-1, -width - 1, -1) if tag is None else [tag]:
            if tag is not None and not -width <= tag < width:
                continue
            if tag is not None or column % width not in taken:
                seen[column].add([cells[column] for cells in rows])
    rivals = _rivals(seen, scheme, label) if tag is None else []
    if len(rivals) > 1:
        columns = sorted(column + widest for column in rivals)
        found = f"tags in several columns: {columns} (from 0)"
        faults.refuse(Place(file.name), found, "tag_column=…, the one that is meant")
        return None
    tag = _tag_column(seen, scheme, label) if tag is None else tag
    if label is None and seen[tag].lack_labels:
        found = "tags without labels, such as B, I and O alone"
        faults.refuse(
            Place(file.name), found, "mention_label='…', what all mentions of the file are"
        )
        return None
    tagging = seen[tag].tagging(scheme, label)
    if tagging.scheme != "BIO" and scheme is None:
        log.info("%s: the tags are read as %s", shown_path(file.name), tagging.scheme)
    is_numbered = is_numbered and widest > 2 and token != 0
    if token is None:
        others = {tag % widest, 0 if is_numbered else -1, -1 if own_id is None else own_id % widest}
        free = [column for column in range(widest) if column not in others]
        token = free[0] if free else 0
        repeating = [column for column in free if _repeats(seen[column - widest])]
        if token in repeating and len(repeating) < len(free):
            found = f"column {token} (from 0) says the same in row after row, as ids do"
            allowed = "token_column=…, the one of the tokens; id_column=…, if that is of documents"
            faults.refuse(Place(file.name), found, allowed)
            return None
    has_tags = tag != 0 and widest > 1
    return _Plan(token, tag, own_id, is_numbered, has_tags, tagging)


def _are_numbered(numbers: Sequence[str]) -> bool:
    plain = [number for number in numbers if not UNNUMBERED.fullmatch(number)]
    first = int(plain[:1] == ["1"])
    return plain == [str(i) for i in range(first, len(plain) + first)]


def _rivals(seen: Mapping[int, SeenTags], scheme: Scheme | None, label: str | None) -> list[int]:
    """The columns that may be the one of the tags: two layers of mentions, or gold and guess."""
    rivals = []
    for column, tags in seen.items():
        tagging = tags.tagging(scheme, label)
        plain = {tagging.plain(tag) for tag in tags.counts} - {OUTSIDE}
        # The last column may say that there is no mention; others, where phrases are.
        is_meant = column == -1 or (plain and not {tag[2:] for tag in plain} <= PHRASES)
        is_sound = tags.counts and 2 * tagging.misfits < tags.counts.total()
        if is_meant and is_sound and all(map(SURE_TAG.fullmatch, plain)):
            rivals.append(column)
    return rivals


def _repeats(tags: SeenTags) -> bool:
    """Whether most rows of a column say what the row above says."""
    pairs = Counter({pair: n for pair, n in tags.pairs.items() if "\n" not in pair})
    return 2 * sum(n for (above, own), n in pairs.items() if above == own) > pairs.total()


def _tag_column(seen: Mapping[int, SeenTags], scheme: Scheme | None, label: str | None) -> int:
    """The last column, unless it holds no tags and another one nothing else."""
    for column, tags in seen.items():
        misfits = tags.tagging(scheme, label).misfits
        if column == -1 and 2 * misfits < tags.counts.total():
            break
        has_marks = any(SURE_TAG.fullmatch(tag) for tag in tags.counts.keys() - {OUTSIDE})
        if column != -1 and has_marks and not misfits:
            return column
    return -1


def _checked(
    sentences: Sequence[_Sentence],
    note_id: str,
    place: Place,
    faults: Faults,
    plan: _Plan,
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
        _check_rows(sentences, note_id, place, faults, plan)
    if len(faults) > mark:
        return None
    return _note(sentences, note_id, place, faults, plan, schemes)


@dataclass
class _Schemes:
    """How many sentences with mentions are valid in each scheme, the chosen one among them."""

    tagging: Tagging
    sentences: int = 0
    valid: Counter[str] = field(default_factory=Counter)

    def count(self, tags: Sequence[str], *, is_valid: bool) -> None:
        """Counts one sentence."""
        plain = [self.tagging.plain(tag) for tag in tags]
        if set(plain) == {OUTSIDE}:
            return
        self.sentences += 1
        self.valid[self.tagging.scheme] += is_valid
        # Any word is a label in IO.
        for other in SCHEMES[:-1]:
            if other != self.tagging.scheme and not tagged_runs(plain, other)[1]:
                self.valid[other] += 1


def _judge(schemes: _Schemes, place: Place, faults: Faults) -> None:
    # Where most mentions are faults, the sentences without any would be all that is kept.
    chosen = schemes.tagging.scheme
    fitting = schemes.valid[chosen]
    if 2 * fitting >= schemes.sentences:
        return
    best = max(SCHEMES, key=lambda scheme: schemes.valid[scheme])
    found = (
        f"tags that are not {chosen}: {fitting} of {schemes.sentences} sentences with "
        f"mentions fit it, {schemes.valid[best]} fit {best}"
    )
    if 2 * schemes.valid[best] > schemes.sentences:
        faults.refuse(place, found, f"scheme={best!r}")
    elif schemes.sentences > 1:
        faults.refuse(place, found, f"tags of one scheme, of {list(SCHEMES)}, in tag_column")


def _check_choice(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ConfigError(f"{name}={shown_value(value)}; allowed: {list(allowed)}")


def _sentences(file: File, faults: Faults, *, is_numbered: bool = False) -> Iterator[_Sentence]:
    documents, document_id, is_empty, blanks, block = 0, "", False, 0, 1
    rows: list[tuple[int, list[str]]] = []
    number = 0
    columns = _columns(file)
    for number, line in file.lines():
        is_row = _is_row(line, columns)
        mark = None if is_row else DOCUMENT_MARK.fullmatch(line)
        if rows and (mark is not None or not line.strip()):
            yield _Sentence(block, documents, document_id, tuple(rows))
            rows = []
            blanks = 0
        if mark is not None:
            if is_empty:
                _add_empty(Place(file.name, number), faults)
            documents, is_empty = documents + 1, True
            document_id = _document_id(mark) or f"{file.stem}-{documents}"
        elif not line.strip():
            blanks += 1
        elif is_row or not COMMENT.fullmatch(line):
            cells = _cells(line)
            if is_numbered and UNNUMBERED.fullmatch(cells[0]):
                faults.passed_over["rows of tokens of several words, or of none"] += 1
                continue
            above = rows[0][1] if len(rows) == 1 else ["#"]
            if above[0] == "#" and len(above) not in (1, columns[1], len(cells)):
                # A source, as GermEval has it above its sentences, and no token.
                rows = []
            if not rows and blanks > 1 and number > blanks + 1:
                block += 1
            rows.append((number, cells))
            is_empty = False
    if rows:
        yield _Sentence(block, documents, document_id, tuple(rows))
    elif is_empty:
        _add_empty(Place(file.name, number), faults)


def _columns(file: File) -> tuple[bool, int]:
    """Whether the rows of a file have tabs, and how many columns most of them have."""
    counts: Counter[tuple[bool, bool, int]] = Counter()
    for _, line in file.lines():
        if line.strip():
            is_plain = not line.startswith(("#", "-DOCSTART-"))
            counts[is_plain, "\t" in line, len(_cells(line))] += 1
    if not counts:
        return False, 1
    _, has_tabs, width = max(counts, key=lambda kind: (kind[0], counts[kind]))
    return has_tabs, width


def _is_row(line: str, columns: tuple[bool, int]) -> bool:
    """Whether a line that begins as marks and comments do is a token (`###`, `#refills=2`)."""
    if not line.startswith("#"):
        return False
    cells = _cells(line)
    if columns != ("\t" in line, len(cells)) or len(cells) == 1:
        return False
    if "\t" in line:
        return " " not in cells[0] or any(map(SURE_TAG.fullmatch, cells[1:]))
    # "# text = blood group O" ends as a row does.
    return "=" not in cells[1:-1] and SURE_TAG.fullmatch(cells[-1]) is not None


def _cells(line: str) -> list[str]:
    if "\t" in line:
        return [cell.strip(" ") for cell in line.split("\t")]
    return re.split(" +", line.strip(" "))


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
    sentences: Sequence[_Sentence], note_id: str, place: Place, faults: Faults, plan: _Plan
) -> None:
    width = len(sentences[0].rows[0][1])
    # A file of tokens alone has no tag column to look for.
    asked = [column for column in plan.columns if width > 1 or column > 0]
    for line, cells in (row for sentence in sentences for row in sentence.rows):
        if len(cells) != width:
            faults.add(place.at(line), f"{len(cells)} columns", f"{width}, as in the line above")
        elif any(not -width <= column < width for column in asked):
            faults.add(place.at(line), f"{width} columns", f"columns {asked} (from 0)")
        elif not cells[plan.token].strip():
            faults.add(place.at(line), "a line without a token", "token and tag")
        elif plan.id is not None and cells[plan.id] != note_id:
            faults.add(place.at(line), "another document's id within a sentence", "one id")


def _note(
    sentences: Sequence[_Sentence],
    note_id: str,
    place: Place,
    faults: Faults,
    plan: _Plan,
    schemes: _Schemes,
) -> Note:
    is_tagged = len(sentences[0].rows[0][1]) > 1
    lines: list[str] = []
    spans: list[Span] = []
    offset = 0
    for sentence in sentences:
        tokens = [cells[plan.token] for _, cells in sentence.rows]
        line, starts = token_line(tokens, offset)
        lines.append(line)
        offset += len(line) + 1
        if is_tagged:
            tags = [cells[plan.tag] for _, cells in sentence.rows]
            runs, wrong = plan.tagging.runs(tags)
            schemes.count(tags, is_valid=not wrong)
            for i, reason in wrong:
                allowed = f"a valid {plan.tagging.scheme} sequence"
                faults.add(place.at(sentence.rows[i][0]), reason, allowed)
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


def _looks(sight: Sight) -> bool:
    """Whether every line is blank, a mark, or token and tag, with a mention among them."""
    text = sight.text if "\n" in sight.text else sight.text.replace("\r", "\n")
    if "\n\n" not in text.replace("\r", "") or "-" not in text:
        return False
    # The last line may be cut off.
    lines = text.split("\n")[:-1]
    rows = [
        _cells(line.removesuffix("\r"))
        for line in lines
        if line.strip() and not COMMENT.match(line) and not DOCUMENT_MARK.match(line)
    ]
    tags = {cells[-1] if len(cells) > 1 else "" for cells in rows}
    return all(map(SURE_TAG.fullmatch, tags)) and tags > {OUTSIDE}


CONLL = Format(
    "conll",
    "CoNLL, a token and its tag a line",
    read_conll,
    write_conll,
    endings=(".conll", ".conllu", ".bio", ".iob", ".iob2", ".iobes", ".bilou", ".bmes"),
    looks=_looks,
)
