"""How training notes are annotated: what tags have to hold, and whether equal words are equal.

What mentions begin and end with, whether those of two types overlap, and whether words that are a
mention in one place of a note are one in the others.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import get_args

from clinical_tl.schema import LabelSet, Note, Span
from clinical_tl.text.consistency import count_repeats
from clinical_tl.text.tag_layers import Layers, TagLayers
from clinical_tl.text.tags import Representation, Scheme
from clinical_tl.text.units import UnitSize, text_units

logger = logging.getLogger(__name__)

FINE_SHARE = 0.01
"""Units are tokens where that brings back at least this share of the training mentions, and tags
in one layer a type. Units of tokens let every prediction end inside a word, and layers any two
mentions overlap, which is not worth a mention in thousands."""
CONSISTENT = 0.8
"""Mentions are consistent where at least this share of the places with the words of a training
mention in its note are mentions, too."""
FEWEST_PLACES = 10
"""Fewer tell nothing."""
BORROWED_PLACES = 5
"""A label's own count with so many more that are as those of all labels."""


def layers_for(notes: Sequence[Note], labels: LabelSet, scheme: Scheme, units: UnitSize) -> Layers:
    """One layer, or one a type where those bring back `FINE_SHARE` of the mentions."""
    found = {}
    for layers in get_args(Layers):
        tag_set = TagLayers(labels, scheme, layers)
        found[layers] = sum(
            (
                tag_set.encode(text_units(note.text, units), distinct_mentions(note))[1]
                for note in notes
            ),
            start=Representation(),
        )
    one, by_type = found["one"], found["by_type"]
    gained = one.lost - by_type.lost
    if gained < FINE_SHARE * one.gold or not gained:
        return "one"
    logger.info(
        "entity recognition: tags are in one layer a type, since %d of %d mentions overlap one of "
        "another type: %.1f %% can be represented, and %.1f %% in one layer (choose with layers=…)",
        gained,
        one.gold,
        100 * (1 - by_type.lost / one.gold),
        100 * (1 - one.lost / one.gold),
    )
    return "by_type"


def units_for(notes: Sequence[Note], tag_set: TagLayers) -> UnitSize:
    """Units of words, or of tokens where those bring back `FINE_SHARE` of the mentions."""
    mentions = inside = gained = 0
    for note in notes:
        spans = distinct_mentions(note)
        mentions += len(spans)
        words = tag_set.encode(text_units(note.text), spans)[1]
        if words.inside_word:
            inside += words.inside_word
            gained += words.lost - tag_set.encode(text_units(note.text, "tokens"), spans)[1].lost
    if gained < FINE_SHARE * mentions or not gained:
        return "words"
    logger.info(
        "entity recognition: units are tokens, since %d of %d mentions (%.1f %%) begin or end "
        "inside a word (choose with units=…)",
        inside,
        mentions,
        100 * inside / mentions,
    )
    return "tokens"


def consistent_labels(notes: Sequence[Note], labels: LabelSet, layers: Layers) -> tuple[str, ...]:
    """The labels of which other places of a mention's words are mentions as a rule."""
    more: Counter[str] = Counter()
    agreeing: Counter[str] = Counter()
    for note in notes:
        for own in apart(distinct_mentions(note), layers):
            for label, (places, same) in count_repeats(note.text, own).items():
                more[label] += places
                agreeing[label] += same
    if more.total() < FEWEST_PLACES:
        return ()
    usual = agreeing.total() / more.total()
    found = tuple(
        label
        for label in labels
        if (agreeing[label] + BORROWED_PLACES * usual) / (more[label] + BORROWED_PLACES)
        >= CONSISTENT
    )
    if found:
        logger.info(
            "entity recognition: what is a mention in most of its places in a note becomes one in "
            "all, as %d of %d places in the training notes are; of %d of %d labels (choose with "
            "consistent=…)",
            sum(agreeing[label] for label in found),
            sum(more[label] for label in found),
            len(found),
            len(labels),
        )
    return found


def apart(spans: Sequence[Span], layers: Layers) -> list[list[Span]]:
    """The mentions that exclude one another, together: all, or those of a type."""
    if layers == "one":
        return [list(spans)]
    by_label: dict[str, list[Span]] = {}
    for span in spans:
        by_label.setdefault(span.label, []).append(span)
    return list(by_label.values())


def distinct_mentions(note: Note) -> list[Span]:
    """The mentions of a note; one that is annotated twice is one to find, and none is lost."""
    return list({(*span.key, span.fragments): span for span in note.spans or ()}.values())
