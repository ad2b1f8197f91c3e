"""Pairs of entities that a relation could hold between."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Literal

from clinical_tl.display.discreet import Discreet
from clinical_tl.errors import TaskError, shown_id
from clinical_tl.schema import Note, Span
from clinical_tl.text.words import Words

Level = Literal["mention", "concept"]


@dataclass(frozen=True, eq=False, repr=False)
class Entity(Discreet):
    """What a relation's end names: one mention, or a concept with all its mentions."""

    id: str
    label: str
    mentions: tuple[Span, ...]


@dataclass(frozen=True)
class Pair:
    """A head and a tail, with their mentions paired, the closest first.

    `distance` counts the words between the closest two.
    """

    head: Entity
    tail: Entity
    distance: int
    mentions: tuple[tuple[Span, Span], ...]


def find_entities(note: Note, level: Level) -> list[Entity]:
    """The entities of a note, in the order in which they are first given.

    At mention level each span is one, at concept level all mentions with a concept id and a
    label are (a mention of several concepts belongs to each; one without stays out: it names
    nothing that a relation could refer to).

    Raises `TaskError` at mention level for spans without an id.
    """
    if level == "mention":
        unnamed = sum(not span.id for span in note.spans or ())
        if unnamed:
            raise TaskError(
                f"note {shown_id(note.note_id)!r}: {unnamed} of {len(note.spans or ())} spans have "
                "no id, and relations between mentions name them by id; give each span one, or "
                "relate concepts with level='concept'"
            )
        return [Entity(span.id, span.label, (span,)) for span in note.spans or ()]
    mentions: dict[tuple[str, str], dict[Span, None]] = {}
    for span in note.spans or ():
        for concept in span.concepts:
            mentions.setdefault((concept, span.label), {})[span] = None
    return [Entity(concept, label, tuple(own)) for (concept, label), own in mentions.items()]


def find_pairs(
    note: Note,
    words: Words,
    level: Level,
    type_pairs: Collection[tuple[str, str]],
    max_distance: int | None,
) -> Iterator[Pair]:
    """Yields the ordered pairs of a note whose (head label, tail label) is in `type_pairs`.

    Pairs with more than `max_distance` words between their closest mentions are left out
    (`None`: none is); an entity is never paired with itself.
    """
    entities = find_entities(note, level)
    for head, tail in product(entities, repeat=2):
        if head.id == tail.id or (head.label, tail.label) not in type_pairs:
            continue
        ranked = sorted(
            product(head.mentions, tail.mentions),
            key=lambda pair: (words.between(*pair), pair[0].start, pair[1].start),
        )
        distance = words.between(*ranked[0])
        if max_distance is None or distance <= max_distance:
            yield Pair(head, tail, distance, tuple(ranked))
