"""`choose_labels`: the labels that are wanted, renamed and merged, before anything is trained."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from functools import partial

from clinical_tl.data.notes import ANNOTATION, Notes, NotesLike, each_note, tabulate
from clinical_tl.errors import ConfigError, NoteError, shown_id, shown_ids, shown_value
from clinical_tl.schema import Note, Relation, Span

log = logging.getLogger(__name__)

ALL = "*"
FORMS = (
    "a list of the labels to keep, ['I10', 'E11*'], or old → new name, {'E11*': 'diabetes', "
    "'J45': None} (None leaves out)"
)


def choose_labels(
    notes: NotesLike,
    labels: Sequence[str] | Mapping[str, str | None],
    *,
    fields: Sequence[str] | None = None,
) -> Notes:
    """The notes with the labels that are chosen: classes, codes, types of mentions and relations.

    A list names those that are kept. A mapping renames (two names with one new name are merged),
    and leaves out what is mapped to `None`; labels it does not name stay. `*` stands for any
    characters. An exact name wins over a pattern, an earlier pattern over a later one.

    A field none of whose labels is named stays as it is; a lone `*` beside other names is for
    the fields that those are of. What of a note is left out takes along what hangs on it: a note
    goes with its class, relations with their mentions. Notes without a code or mention that is
    left stay, as *annotated with nothing*. Codes, mentions and relations that became the same
    are one. All of it is counted in the log.

    Args:
        notes: read from a file or held in memory. What is chosen of a mapped set is held in
            memory as a table, not as records.
        labels: a list, or old → new name.
        fields: those of `label`, `codes`, `spans` and `relations` that are looked at; by default
            all.

    Raises:
        ConfigError: an unknown field, or `labels` of another form.
        NoteError: a name that no note has; no note is left.

    >>> notes = [Note("a", "…", codes=("E11.9", "I10")), Note("b", "…", codes=("E11.65", "J45"))]
    >>> choose_labels(notes, ["E11*"])["codes"]
    [('E11.9',), ('E11.65',)]
    >>> choose_labels(notes, {"E11*": "diabetes", "J45": None})["codes"]
    [('diabetes', 'I10'), ('diabetes',)]
    >>> choose_labels(notes, {"E11.8": None})
    Traceback (most recent call last):
        ...
    clinical_tl.errors.NoteError: no note has the label 'E11.8'; did you mean 'E11.9'? There are 4
        labels in ['label', 'codes', 'spans', 'relations'], the commonest ['E11.9', 'I10', 'E11.65',
        'J45']
    """
    looked_at = _fields(fields)
    names = _names(labels)
    found = _labels_of(each_note(notes), looked_at)
    _check_known(names, found)
    # Beside other names "*" says what becomes of the rest of their fields, not of all fields.
    is_named = _Named(n for n in names if n != ALL or len(names) == 1 or fields is not None).by_any
    chosen_as = partial(_new_name, _Named(names), labels)
    choice = _Choice(
        {
            field: {label: chosen_as(label) for label in counts}
            for field, counts in found.items()
            if any(map(is_named, counts))
        }
    )
    chosen = tabulate(choice.of(each_note(notes)))
    log.warning("labels chosen: %s", choice.in_words())
    if not len(chosen):
        raise NoteError(
            f"none of the {choice.counts['notes left out']} notes is left: the class of each is "
            "left out; choose among the classes that they have"
        )
    return chosen


def _fields(fields: Sequence[str] | None) -> tuple[str, ...]:
    given = ANNOTATION if fields is None else fields
    if isinstance(given, str) or not given or not set(given) <= set(ANNOTATION):
        raise ConfigError(f"fields={shown_value(given)}; allowed: a list of {list(ANNOTATION)}")
    return tuple(given)


def _names(labels: object) -> tuple[str, ...]:
    if isinstance(labels, Mapping):
        values = [new for new in labels.values() if new is not None]
    elif isinstance(labels, str) or not isinstance(labels, Iterable):
        raise ConfigError(f"labels is of type {type(labels).__name__}; allowed: {FORMS}")
    else:
        values = []
    names = tuple(labels)
    if not names or not all(isinstance(name, str) and name.strip() for name in (*names, *values)):
        raise ConfigError(
            f"labels has no names, or some that are blank or no strings; allowed: {FORMS}"
        )
    return names


def _labels_of(notes: Iterable[Note], fields: Sequence[str]) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {field: Counter() for field in fields}
    for note in notes:
        given = {
            "label": () if note.label is None else (note.label,),
            "codes": note.codes or (),
            "spans": [span.label for span in note.spans or ()],
            "relations": [relation.label for relation in note.relations or ()],
        }
        for field in fields:
            found[field].update(given[field])
    return found


def _check_known(names: Sequence[str], found: Mapping[str, Counter[str]]) -> None:
    known = sum(found.values(), Counter())
    unknown = [
        name
        for name in names
        if name not in known and not (ALL in name and any(map(_Named([name]).by_any, known)))
    ]
    if not unknown:
        return
    near = get_close_matches(unknown[0], known, n=1)
    hint = f"; did you mean {shown_id(near[0], 'label')!r}?" if near else "."
    rest = f" (nor have they {shown_ids(unknown[1:], 'label')})" if unknown[1:] else ""
    common = [label for label, _ in known.most_common()]
    raise NoteError(
        f"no note has the label {shown_id(unknown[0], 'label')!r}{rest}{hint} There are "
        f"{len(known)} labels in {list(found)}, the commonest {shown_ids(common, 'label')}"
    )


class _Named:
    """Names, some of them patterns, and which labels they are the names of."""

    def __init__(self, names: Iterable[str]) -> None:
        self._exact = frozenset(names := tuple(names))
        # `re` itself keeps the last few hundred patterns, and there may be thousands.
        self._patterns = [(name, _pattern(name)) for name in names if ALL in name]

    def by_any(self, label: str) -> bool:
        """Whether one of them names the label."""
        return self.of(label) is not None

    def of(self, label: str) -> str | None:
        """The one that names the label: an exact one, or the first pattern."""
        if label in self._exact:
            return label
        return next((name for name, pattern in self._patterns if pattern.fullmatch(label)), None)


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, name.split(ALL))), re.DOTALL)


def _new_name(
    names: _Named, labels: Sequence[str] | Mapping[str, str | None], label: str
) -> str | None:
    name = names.of(label)
    if name is None:
        return label if isinstance(labels, Mapping) else None
    return labels[name] if isinstance(labels, Mapping) else label


class _Choice:
    """Notes with the labels of some fields renamed (old → new name), or left out (`None`)."""

    def __init__(self, renamed: Mapping[str, Mapping[str, str | None]]) -> None:
        self._renamed = renamed
        self.counts: Counter[str] = Counter()

    def of(self, notes: Iterable[Note]) -> Iterator[Note]:
        """The notes that stay, one at a time."""
        for note in notes:
            if note.label is not None and self._named("label", note.label) is None:
                self.counts["notes left out"] += 1
                continue
            self.counts["notes kept"] += 1
            spans, moved = self._spans(note)
            yield replace(
                note,
                label=None if note.label is None else self._named("label", note.label),
                codes=self._codes(note),
                spans=spans,
                relations=self._relations(note, moved),
            )

    def in_words(self) -> str:
        """The counts, in the order in which they first arose."""
        return ", ".join(f"{count} {what}" for what, count in self.counts.items() if count)

    def _named(self, field: str, label: str) -> str | None:
        new = self._renamed[field][label] if field in self._renamed else label
        self.counts[f"{_NOUNS[field]} renamed"] += new not in (None, label)
        return new

    def _codes(self, note: Note) -> tuple[str, ...] | None:
        if note.codes is None or "codes" not in self._renamed:
            return note.codes
        named = [new for code in note.codes if (new := self._named("codes", code)) is not None]
        self.counts["codes left out"] += len(note.codes) - len(named)
        once = tuple(dict.fromkeys(named))
        self.counts["codes merged"] += len(named) - len(once)
        return once

    def _spans(self, note: Note) -> tuple[tuple[Span, ...] | None, dict[str, str | None]]:
        """The mentions that stay, and what becomes of the ids of the others."""
        if note.spans is None or "spans" not in self._renamed:
            return note.spans, {}
        kept: dict[tuple[object, ...], tuple[Span, str]] = {}
        moved: dict[str, str | None] = {}
        gone: set[str] = set()
        for i, span in enumerate(note.spans):
            new = self._named("spans", span.label)
            if new is None:
                self.counts["mentions left out"] += 1
                gone.update((span.id, *span.concepts))
                continue
            key: tuple[object, ...] = (*span.key[:2], span.fragments, new)
            if key in kept and kept[key][1] != span.label:
                first, label = kept[key]
                kept[key] = _joined(first, span), label
                moved[span.id] = first.id
                self.counts["mentions merged"] += 1
                continue
            # Mentions that were the same before are left so.
            kept[(*key, i) if key in kept else key] = replace(span, label=new), span.label
        spans = tuple(span for span, _ in kept.values())
        left = {name for span in spans for name in (span.id, *span.concepts)}
        return spans, dict.fromkeys(gone - left - moved.keys()) | moved

    def _relations(
        self, note: Note, moved: Mapping[str, str | None]
    ) -> tuple[Relation, ...] | None:
        if note.relations is None or not (moved or "relations" in self._renamed):
            return note.relations
        named: list[Relation] = []
        for relation in note.relations:
            label = self._named("relations", relation.label)
            head = moved.get(relation.head, relation.head)
            tail = moved.get(relation.tail, relation.tail)
            if label is None:
                self.counts["relations left out"] += 1
            elif head is None or tail is None or (head == tail and relation.head != relation.tail):
                self.counts["relations left out with their mentions"] += 1
            else:
                named.append(Relation(head, tail, label))
        once = tuple(dict.fromkeys(named))
        self.counts["relations merged"] += len(named) - len(once)
        return once


_NOUNS = {"label": "classes", "codes": "codes", "spans": "mentions", "relations": "relations"}


def _joined(first: Span, second: Span) -> Span:
    return replace(
        first,
        concepts=tuple(dict.fromkeys((*first.concepts, *second.concepts))),
        attributes=tuple(dict.fromkeys((*first.attributes, *second.attributes))),
    )
