r"""WebAnno TSV 3, what INCEpTION and WebAnno export: a row a token, a column a feature.

Eckart de Castilho et al., A web-based tool for the integrated annotation of semantic and
syntactic structures, LT4DH 2016; Klie et al., The INCEpTION platform, COLING 2018. The layout is
that of INCEpTION's user guide, versions 3.0 to 3.3.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import ClassVar, Literal

from clinical_tl.data.formats.counting import UTF16, Quoted
from clinical_tl.data.formats.files import File
from clinical_tl.data.formats.format import Format
from clinical_tl.data.formats.mention import quotes
from clinical_tl.data.formats.problems import Faults, Place, UnreadableError
from clinical_tl.data.formats.stretches import CHARACTERS, Stretch, join
from clinical_tl.display.discreet import Discreet
from clinical_tl.errors import shown_id, shown_ids
from clinical_tl.schema import Note, Relation, Span

Kind = Literal["SP", "CH", "RL"]

HEADER = re.compile(r"#T_(?P<kind>SP|CH|RL)=(?P<rest>.+)")
UNIT = re.compile(r"[0-9]+-[0-9]+(?:\.[0-9]+)?")
OFFSETS = re.compile(r"([0-9]{1,12})-([0-9]{1,12})")
NUMBERED = re.compile(r"(?P<value>.*)\[(?P<id>[0-9]+)\]", re.DOTALL)
LINKED = re.compile(r"(?P<value>.*)->(?P<link>[0-9]+-[0-9]+)", re.DOTALL)
RELATED = re.compile(r"(?P<unit>[0-9.-]+)(?:\[(?P<head>[0-9]+)_(?P<tail>[0-9]+)\])?")
POINTED = re.compile(r"(?P<unit>[0-9.-]+)(?:\[(?P<id>[0-9]+)\])?")
ESCAPED = re.compile(r"\\(u[0-9a-fA-F]{4}|->|.)", re.DOTALL)
ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "b": "\b"}

NOTHING, NO_VALUE = "_", "*"
ROLE, BASE = "ROLE_", "BT_"
CHAIN_LINK = "referenceRelation"
# Parts of speech, lemmas, dependencies: of words, and not what is annotated by hand on notes.
OF_WORDS = re.compile(r"de\.tudarmstadt\.ukp\.(?:dkpro|clarin)\..*\.(?!ner\.)\w+\.type\..*")

Key = tuple[str, str, int]


@dataclass(frozen=True)
class _Layer:
    kind: Kind
    type: str
    columns: tuple[str, ...]
    """Names of its columns, which stand side by side; `""` for one without a feature."""
    first: int
    """The first of them, counted from 0 after unit, offsets and token."""

    @property
    def name(self) -> str:
        """The last part of its type."""
        return self.type.rpartition(".")[2]

    @property
    def features(self) -> list[str]:
        """What has values: neither references nor slots."""
        return [name for name in self.columns if name and not self.is_reference(name)]

    def is_reference(self, column: str) -> bool:
        return column.startswith((ROLE, BASE)) or (self.kind == "SP" and "." in column)


@dataclass(frozen=True, eq=False, repr=False)
class _Unit(Discreet):
    """A row: a token, or a part of one."""

    HIDDEN: ClassVar[frozenset[str]] = frozenset({"said"})
    line: int
    id: str
    begin: int
    end: int
    said: str
    cells: tuple[str, ...]


@dataclass(eq=False, repr=False)
class _Sentence(Discreet):
    lines: list[str] = field(default_factory=list)
    units: list[_Unit] = field(default_factory=list)


@dataclass(eq=False, repr=False)
class _Found(Discreet):
    """An annotation whose rows are gathered: of a span or a chain layer."""

    layer: _Layer
    line: int
    start: int
    end: int
    values: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Link:
    """A relation, before its ends are known to be mentions."""

    line: int
    head: Key
    tail: Key
    label: str


def read_webanno_tsv(
    file: File,
    faults: Faults,
    *,
    layer: str | Sequence[str] | None = None,
    feature: str | None = None,
) -> Iterator[Note]:
    r"""Yields the one note of a file; its id is the file's name (within a folder, its path).

    Offsets count units of UTF-16, as in Java; those that count characters are known by the tokens
    that are quoted. What stands between two sentences is blank: a line break, then spaces.

    Spans are the annotations of one layer (or of several), labelled by a feature; where that has
    no value, by the layer's name. A feature called `identifier` becomes concepts, the others
    attributes. Relations lead from the source to the target, labelled by their feature; slots
    from their host, labelled by the role. Of chains (read when their layer is named) each link
    is related to the next. A file without the layer is annotated with nothing.

    Args:
        file: the file.
        faults: where what is wrong goes.
        layer: which layers hold the mentions, by their full names or the last parts of these.
            By default the only one, parts of speech, lemmas and the like apart.
        feature: which feature is the label; by default the only one, or `value`.
    """
    place = Place(file.name, note_id=file.bare_name)
    asked = [layer] if isinstance(layer, str) else layer
    yield from faults.reading(partial(_note, file, place, faults, asked, feature), place)


def _note(
    file: File, place: Place, faults: Faults, asked: Sequence[str] | None, feature: str | None
) -> Note | None:
    mark = len(faults)
    layers, sentences = _parsed(file, place, faults)
    if len(faults) > mark:
        return None
    chosen = _chosen(layers, asked, faults)
    units = [unit for sentence in sentences for unit in sentence.units]
    tokens = [Quoted([(unit.begin, unit.end)], unit.said) for unit in units]
    # As INCEpTION reads its own files.
    lines = [Stretch(s.units[0].begin, "\n".join(s.lines)) for s in sentences]
    joined = join(lines, tokens, (UTF16, CHARACTERS))
    text = joined.text
    is_whole = all(layer in chosen or layer.kind == "RL" for layer in layers)
    gathered = _Gathered(place, faults, {layer.type: layer for layer in chosen}, is_whole)
    for unit in units:
        pieces = joined.pieces([(unit.begin, unit.end)])
        if pieces is None or not quotes(text, pieces, unit.said):
            faults.add(
                place.at(unit.line),
                f"offsets {unit.begin}-{unit.end} where the sentence's #Text has another token",
                "offsets in units of UTF-16 over the whole document, sentences in order",
            )
            return None
        for layer in layers:
            gathered.add(layer, unit, *pieces[0])
    labels = {layer.type: _label_feature(layer, feature) for layer in chosen}
    spans, ids = _spans(gathered, labels, faults)
    relations = _relations(gathered, ids, place, faults)
    has_relations = any(
        layer.kind == "RL" or any(name.startswith(ROLE) for name in layer.columns)
        for layer in layers
        if layer.kind == "RL" or layer in chosen
    )
    is_related = has_relations or any(layer.kind == "CH" for layer in chosen)
    return Note(place.note_id or "", text, spans=spans, relations=relations if is_related else None)


def _parsed(file: File, place: Place, faults: Faults) -> tuple[list[_Layer], list[_Sentence]]:
    layers: list[_Layer] = []
    sentences: list[_Sentence] = []
    width = 0
    for number, line in file.lines():
        header = HEADER.fullmatch(line) if not sentences else None
        if header is not None:
            name, *columns = [part for part in header["rest"].split("|") if part]
            kind: Kind = (
                "SP" if header["kind"] == "SP" else "CH" if header["kind"] == "CH" else "RL"
            )
            layers.append(_Layer(kind, name, tuple(columns) or ("",), width))
            width += max(len(columns), 1)
        elif line.startswith("#Text="):
            if not sentences or sentences[-1].units:
                sentences.append(_Sentence())
            sentences[-1].lines.append(_unescaped(line.removeprefix("#Text=")))
        elif line.strip() and not line.startswith("#"):
            cells = line.split("\t")
            offsets = OFFSETS.fullmatch(cells[1]) if len(cells) > 2 else None
            if not sentences or offsets is None or not UNIT.fullmatch(cells[0]):
                faults.add(
                    place.at(number),
                    "a line that is no row of a sentence",
                    "1-1<tab>0-5<tab>token and a cell for each feature, below #Text=…",
                )
            elif len(cells) < 3 + width or any(cells[3 + width :]):
                found = f"{len(cells) - 3} cells after the token"
                faults.add(place.at(number), found, f"{width}, as the #T_ lines say")
            else:
                begin, end = int(offsets[1]), int(offsets[2])
                own = tuple(cells[3 : 3 + width])
                sentences[-1].units.append(_Unit(number, cells[0], begin, end, cells[2], own))
    return layers, [sentence for sentence in sentences if sentence.units]


def _unescaped(text: str) -> str:
    r"""The text that a `#Text=` line or a value stands for; versions before 3.2 write `\uXXXX`."""
    if "\\" not in text:
        return text

    def meant(found: re.Match[str]) -> str:
        code = found[1]
        return chr(int(code[1:], 16)) if len(code) == 5 else ESCAPES.get(code, code)

    plain = ESCAPED.sub(meant, text)
    if "\\u" in text:
        # What Java writes as two units is one character.
        plain = plain.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    return plain


def _chosen(layers: Sequence[_Layer], asked: Sequence[str] | None, faults: Faults) -> list[_Layer]:
    """The layers whose annotations are the mentions."""
    spans = [layer for layer in layers if layer.kind != "RL"]
    if asked is not None:
        chosen = [layer for layer in spans if layer.type in asked or layer.name in asked]
        if not chosen and spans:
            faults.doubtful["files without the layer, read as annotated with nothing"] += 1
        return chosen
    chosen = [layer for layer in spans if layer.kind == "SP" and not OF_WORDS.fullmatch(layer.type)]
    if len(chosen) > 1:
        names = shown_ids((layer.name for layer in chosen), "layer", at_most=20)
        raise UnreadableError(f"{len(chosen)} layers of mentions", f"layer='…', some of {names}")
    for layer in spans:
        if layer not in chosen:
            faults.passed_over[f"files' layers {shown_id(layer.name, 'layer')}"] += 1
    if not chosen:
        faults.doubtful["files without a layer, read as annotated with nothing"] += 1
    return chosen


def _label_feature(layer: _Layer, feature: str | None) -> str | None:
    """The feature that is the label; `None` where the layer's name is."""
    features = [name for name in layer.features if name != CHAIN_LINK]
    wanted = feature or ("value" if "value" in features else None)
    if wanted in features:
        return wanted
    if feature is not None or len(features) > 1:
        names = shown_ids(features, "feature", at_most=20)
        raise UnreadableError(
            f"the layer {shown_id(layer.name, 'layer')!r}, whose label may be any of "
            f"{len(features)} features",
            f"feature='…', one of {names}",
        )
    return features[0] if features else None


@dataclass
class _Gathered:
    """What the rows say of the chosen layers, put together."""

    place: Place
    faults: Faults
    chosen: Mapping[str, _Layer]
    is_whole: bool
    """Whether there is no other layer that relations may lead to."""
    found: dict[Key, _Found] = field(default_factory=dict)
    links: list[_Link] = field(default_factory=list)
    chains: dict[str, dict[int, tuple[Key, str, int]]] = field(default_factory=dict)

    def add(self, layer: _Layer, unit: _Unit, start: int, end: int) -> None:
        """Adds a row's cells of one layer."""
        cells = unit.cells[layer.first : layer.first + len(layer.columns)]
        columns = [_split(cell, "|") if cell != NOTHING else [] for cell in cells]
        if layer.kind == "RL":
            self._relate(layer, unit, columns)
        elif layer.type in self.chosen:
            for index in range(max(map(len, columns))):
                values = [column[index] if index < len(column) else "" for column in columns]
                if layer.kind == "CH":
                    self._add_link(layer, unit, values, start, end)
                else:
                    self._add_span(layer, unit, index, values, start, end)

    def _add_span(
        self, layer: _Layer, unit: _Unit, index: int, values: list[str], start: int, end: int
    ) -> None:
        numbers = [
            found["id"]
            for name, value in zip(layer.columns, values, strict=True)
            if not (self._is_target(layer, name)) and (found := NUMBERED.fullmatch(value))
        ]
        key = ("#", numbers[0], 0) if numbers else (layer.type, unit.id, index)
        own = self.found.setdefault(key, _Found(layer, unit.line, start, end))
        own.start, own.end = min(own.start, start), max(own.end, end)
        roles: list[str] = []
        for name, value in zip(layer.columns, values, strict=True):
            plain = found["value"] if (found := NUMBERED.fullmatch(value)) else value
            if name.startswith(ROLE):
                roles = [] if plain in ("", NOTHING) else _split(plain, ";")
            elif self._is_target(layer, name):
                self._fill(key, unit, name, roles, value)
            elif plain not in ("", NO_VALUE):
                own.values.setdefault(name, _unescaped(plain))

    def _is_target(self, layer: _Layer, column: str) -> bool:
        return layer.is_reference(column) and not column.startswith(ROLE)

    def _fill(self, host: Key, unit: _Unit, base: str, roles: list[str], value: str) -> None:
        targets = [] if value in ("", NO_VALUE) else _split(value, ";")
        if len(targets) != len(roles):
            found = f"{len(roles)} roles and {len(targets)} fillers"
            self.faults.add(self.place.at(unit.line), found, "one filler a role")
        for role, target in zip(roles, targets, strict=False):
            found_target = POINTED.fullmatch(target)
            if found_target is None:
                self._add_broken(unit)
                continue
            number = found_target["id"]
            tail = ("#", number, 0) if number else (base, found_target["unit"], 0)
            label = "slot" if role == NO_VALUE else _unescaped(role)
            self.links.append(_Link(unit.line, host, tail, label))

    def _relate(self, layer: _Layer, unit: _Unit, columns: list[list[str]]) -> None:
        base = next((name.removeprefix(BASE) for name in layer.columns if BASE in name), "")
        if base not in self.chosen:
            if columns[-1]:
                self.faults.passed_over["relations between what is not read"] += len(columns[-1])
            return
        label = "value" if "value" in layer.features else next(iter(layer.features), None)
        if len(layer.features) > 1:
            self.faults.passed_over["relations' features beside their labels"] += len(columns[-1])
        for index, value in enumerate(columns[-1]):
            found = RELATED.fullmatch(value)
            if found is None:
                self._add_broken(unit)
                continue
            head, tail = found["head"] or "0", found["tail"] or "0"
            said = NO_VALUE
            if label is not None:
                own = columns[layer.columns.index(label)]
                said = own[index] if index < len(own) else NO_VALUE
                said = numbered["value"] if (numbered := NUMBERED.fullmatch(said)) else said
            self.links.append(
                _Link(
                    unit.line,
                    ("#", head, 0) if head != "0" else (base, found["unit"], 0),
                    ("#", tail, 0) if tail != "0" else (base, unit.id, 0),
                    layer.name if said in ("", NO_VALUE) else _unescaped(said),
                )
            )

    def _add_link(
        self, layer: _Layer, unit: _Unit, values: list[str], start: int, end: int
    ) -> None:
        named = dict(zip(layer.columns, values, strict=True))
        found = LINKED.fullmatch(named.get(CHAIN_LINK, ""))
        if found is None:
            self._add_broken(unit)
            return
        key = (layer.type, found["link"], 0)
        own = self.found.setdefault(key, _Found(layer, unit.line, start, end))
        own.start, own.end = min(own.start, start), max(own.end, end)
        for name in layer.features:
            numbered = NUMBERED.fullmatch(named[name])
            if name != CHAIN_LINK and numbered and numbered["value"] != NO_VALUE:
                own.values[name] = _unescaped(numbered["value"])
        chain, _, link = found["link"].partition("-")
        label = layer.name if found["value"] == NO_VALUE else _unescaped(found["value"])
        self.chains.setdefault(f"{layer.type} {chain}", {})[int(link)] = (key, label, unit.line)

    def _add_broken(self, unit: _Unit) -> None:
        found, allowed = (
            "a reference that can't be read",
            "1-2, 1-2[3] or 1-2[3_4] (of chains ->1-2)",
        )
        self.faults.add(self.place.at(unit.line), found, allowed)

    def all_links(self) -> Iterator[_Link]:
        """Relations, slots, and what leads from each link of a chain to the next."""
        yield from self.links
        for chain in self.chains.values():
            ordered = [chain[link] for link in sorted(chain)]
            for (head, label, line), (tail, _, _) in pairwise(ordered):
                yield _Link(line, head, tail, label)


def _split(cell: str, mark: str) -> list[str]:
    """The parts of a cell between marks that no backslash stands before."""
    parts, is_escaped = [""], False
    for char in cell:
        if char == mark and not is_escaped:
            parts.append("")
        else:
            parts[-1] += char
        is_escaped = char == "\\" and not is_escaped
    return parts


def _spans(
    gathered: _Gathered, labels: Mapping[str, str | None], faults: Faults
) -> tuple[tuple[Span, ...], dict[Key, str]]:
    spans: list[Span] = []
    ids: dict[Key, str] = {}
    for key, own in gathered.found.items():
        if own.start == own.end:
            faults.passed_over["annotations of no character"] += 1
            continue
        name = labels[own.layer.type]
        label = own.values.get(name or "")
        if label is None and name is not None:
            faults.doubtful["mentions without a value, labelled by their layer's name"] += 1
        others = [(n, value) for n, value in own.values.items() if n != name]
        ids[key] = f"T{len(spans) + 1}"
        spans.append(
            Span(
                own.start,
                own.end,
                label or own.layer.name,
                id=ids[key],
                concepts=tuple(value for n, value in others if n == "identifier"),
                attributes=tuple(pair for pair in others if pair[0] != "identifier"),
            )
        )
    return tuple(spans), ids


def _relations(
    gathered: _Gathered, ids: Mapping[Key, str], place: Place, faults: Faults
) -> tuple[Relation, ...]:
    relations = []
    for link in gathered.all_links():
        head, tail = ids.get(link.head), ids.get(link.tail)
        if head is not None and tail is not None:
            relations.append(Relation(head, tail, link.label))
        elif gathered.is_whole:
            found = "a reference to an annotation that the layers read don't have"
            faults.add(place.at(link.line), found, "a unit's id, and a number where it has one")
        else:
            faults.passed_over["relations between what is not read"] += 1
    return tuple(relations)


WEBANNO_TSV = Format(
    "webanno_tsv",
    "WebAnno TSV 3 (INCEpTION, WebAnno)",
    read_webanno_tsv,
    looks=lambda sight: sight.text.startswith("#FORMAT=WebAnno TSV 3"),
)

WEBANNO_TSV_2 = Format(
    "webanno_tsv_2",
    "WebAnno TSV 1 or 2",
    export="import it into INCEpTION or WebAnno 3 and export WebAnno TSV 3",
    looks=lambda sight: (
        re.match(r"(?:\s*#\s.*\n)*\s*#id=[0-9]+\r?\n#text=", sight.text) is not None
    ),
)
