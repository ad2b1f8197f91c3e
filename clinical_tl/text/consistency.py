"""Consistent mentions: what is one in most of its places in a note is one in all of them.

Who annotates a disease marks it wherever the note names it; a tagger decides each place by its
own context, and misses some. That a word has one sense in a text is an old observation (Gale,
Church & Yarowsky 1992, One sense per discourse), and that decisions about its mentions should
agree, too (Krishnan & Manning 2006, doi 10.3115/1220175.1220316). Whether it holds of someone's
annotations, these tell by themselves.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from clinical_tl.schema import Span
from clinical_tl.text.units import Units

MOST = 0.5
"""The share of its places that something has to be a mention in."""
SHORT = 3
"""Characters up to which upper and lower case are told apart: abbreviations are words else."""
SHORTEST = 2
"""A single character stands for too much."""


@dataclass(frozen=True)
class Places:
    """Where a note has the words of a mention: as mentions, and where none touches them.

    `free` are the numbers of their first units, of `length` each.
    """

    mentions: Sequence[Span]
    free: Sequence[int]
    length: int

    @property
    def label(self) -> str:
        """The commonest label of the mentions; of equals the first in the text."""
        return Counter(span.label for span in self.mentions).most_common(1)[0][0]

    @property
    def agreeing(self) -> int:
        """How many mentions have that label."""
        label = self.label
        return sum(span.label == label for span in self.mentions)

    def __len__(self) -> int:
        return len(self.mentions) + len(self.free)


def count_repeats(text: str, units: Units, spans: Sequence[Span]) -> tuple[int, int]:
    """How many more places the note's mentions have, and in how many they are mentions, too.

    >>> from clinical_tl.text.units import text_units
    >>> text = "Asthma. No asthma attack, asthma plan."
    >>> count_repeats(text, text_units(text), [Span(0, 6, "D"), Span(11, 17, "D")])
    (2, 1)
    """
    more = agreeing = 0
    for places in _Note(text, units, spans).repeated():
        more += len(places) - 1
        agreeing += places.agreeing - 1
    return more, agreeing


def consistent_mentions(text: str, units: Units, spans: Sequence[Span]) -> tuple[Span, ...]:
    """The mentions, and those that they make of other places with their words, in text order.

    Words that are a mention of one label in at least half (`MOST`) of the places where no other
    mention is become one in the rest, the longest first; the score is the mean of theirs. Case
    counts in words of up to three characters. None is taken away, and doing it again adds none.

    Args:
        text: of the note.
        units: of the text (`text.units`), shape (units,).
        spans: its mentions; those that are no run of units, or have gaps, are left as they are.

    >>> from clinical_tl.text.units import text_units
    >>> text = "Asthma since 2010. On examination no asthma."
    >>> [s.key for s in consistent_mentions(text, text_units(text), [Span(0, 6, "Disease")])]
    [(0, 6, 'Disease'), (37, 43, 'Disease')]
    """
    if not spans:
        return ()
    note = _Note(text, units, spans)
    added: list[Span] = []
    for places in note.repeated():
        if places.agreeing < MOST * len(places):
            continue
        scores = [span.score for span in places.mentions if span.label == places.label]
        known = [score for score in scores if score is not None]
        score = fmean(known) if len(known) == len(scores) else None
        for first in places.free:
            if note.take(first, places.length):
                last = first + places.length - 1
                start, end = int(units.starts[first]), int(units.ends[last])
                added.append(Span(start, end, places.label, score=score))
    if not added:
        return tuple(spans)
    return tuple(sorted((*spans, *added), key=lambda span: span.key))


class _Note:
    """A note's words, and which of them are taken by mentions."""

    def __init__(self, text: str, units: Units, spans: Sequence[Span]) -> None:
        starts, ends = units.starts.tolist(), units.ends.tolist()
        self.words = [text[start:end] for start, end in zip(starts, ends, strict=True)]
        self.folded = [word.casefold() for word in self.words]
        self.taken = np.zeros(len(starts), dtype=bool)
        first = {start: i for i, start in enumerate(starts)}
        last = {end: i for i, end in enumerate(ends)}
        self.written: dict[tuple[str, ...], list[Span]] = defaultdict(list)
        for span in spans:
            low = int(np.searchsorted(units.ends, span.start, side="right"))
            high = int(np.searchsorted(units.starts, span.end))
            self.taken[low:high] = True
            whole = first.get(span.start) == low and last.get(span.end) == high - 1
            if whole and not span.is_discontinuous:
                self.written[self._key(low, high)].append(span)
        self.at: dict[str, list[int]] = defaultdict(list)
        begins = {key[0] for key in self.written}
        for i, (word, folded) in enumerate(zip(self.words, self.folded, strict=True)):
            for each in {word, folded} & begins:
                self.at[each].append(i)

    def _key(self, low: int, high: int) -> tuple[str, ...]:
        short = sum(map(len, self.words[low:high])) <= SHORT
        return tuple((self.words if short else self.folded)[low:high])

    def repeated(self) -> Iterator[Places]:
        """The places of each mention's words, the longest first."""
        for key in sorted(self.written, key=lambda key: (-len(key), key)):
            if sum(map(len, key)) < SHORTEST:
                continue
            n = len(key)
            free = [
                i
                for i in self.at[key[0]]
                if not self.taken[i : i + n].any() and self._key(i, i + n) == key
            ]
            yield Places(self.written[key], free, n)

    def take(self, first: int, length: int) -> bool:
        """Take words that are free; tells whether they were."""
        if self.taken[first : first + length].any():
            return False
        self.taken[first : first + length] = True
        return True
