"""Consistent mentions: what is one in most of its places in a note is one in all of them.

Who annotates a disease marks it wherever the note names it; a tagger decides each place by its
own context, and misses some. That a word has one sense in a text is an old observation (Gale,
Church & Yarowsky 1992, One sense per discourse), and that decisions about its mentions should
agree, too (Krishnan & Manning 2006, doi 10.3115/1220175.1220316). Whether it holds of someone's
annotations, these tell by themselves.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace

from clinical_tl.schema import Span
from clinical_tl.text.units import text_units

MOST = 0.5
"""The share of its places that something has to be a mention in."""
SHORT = 3
"""Characters up to which upper and lower case are told apart: abbreviations are words else."""
SHORTEST = 2
"""A single character stands for too much."""

# The 5 of 2.5, or of 5,000.
_NUMBER_BEFORE, _NUMBER_AFTER = re.compile(r"\d[.,/:-]\Z"), re.compile(r"[.,/:-]\d")


def consistent_mentions(
    text: str, spans: Sequence[Span], *, labels: Collection[str] | None = None
) -> tuple[Span, ...]:
    """The mentions, and those that they make of other places with their words, in text order.

    Places are runs of whole words that no other mention touches, on one line, and no part of a
    number. Words that are a mention of one label in at least half (`MOST`) of their places become
    one in the rest, the longest first, with the score that so many of the places reach; mentions
    of the label that have less are raised to it. So a threshold on scores leaves all of them or
    those that had it anyway. Case counts in words of up to three characters, and what has no
    letter is left alone. None is taken away, and doing it again changes nothing.

    Args:
        text: of the note.
        spans: its mentions; those that are no run of words, or have gaps, make no others.
        labels: of the mentions that may be added or raised; any by default.

    >>> text = "Asthma since 2010. On examination no asthma."
    >>> [s.key for s in consistent_mentions(text, [Span(0, 6, "Disease")])]
    [(0, 6, 'Disease'), (37, 43, 'Disease')]
    """
    if not spans:
        return ()
    note = _Note(text, spans)
    # What a longer one takes is no place of a shorter one any more, which may then have most.
    while note.agree(labels):
        pass
    return tuple(sorted(note.spans, key=lambda span: span.key))


def count_repeats(text: str, spans: Sequence[Span]) -> dict[str, tuple[int, int]]:
    """Label → how many more places its mentions have, and in how many they are mentions, too.

    >>> text = "Asthma. No asthma attack, asthma plan."
    >>> count_repeats(text, [Span(0, 6, "D"), Span(11, 17, "D")])
    {'D': (2, 1)}
    """
    note = _Note(text, spans)
    counts: dict[str, tuple[int, int]] = {}
    for key, own in note.mentions.items():
        label, agreeing = _commonest([note.spans[at] for at in own])
        more, before = counts.get(label, (0, 0))
        counts[label] = (more + len(own) + len(note.free(key)) - 1, before + agreeing - 1)
    return counts


def _commonest(mentions: Sequence[Span]) -> tuple[str, int]:
    """The commonest label, of equals the first, and how many have it."""
    return Counter(span.label for span in mentions).most_common(1)[0]


class _Note:
    """A note's mentions by their words, and the places that have the same words."""

    def __init__(self, text: str, spans: Sequence[Span]) -> None:
        units = text_units(text)
        self.text, self.starts, self.ends = text, units.starts.tolist(), units.ends.tolist()
        self.words = [text[a:b] for a, b in zip(self.starts, self.ends, strict=True)]
        self.folded = [word.casefold() for word in self.words]
        self.taken = bytearray(len(self.words))
        first = {start: i for i, start in enumerate(self.starts)}
        last = {end: i for i, end in enumerate(self.ends)}
        self.spans = list(spans)
        found: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for at, span in enumerate(self.spans):
            low = int(units.ends.searchsorted(span.start, side="right"))
            high = int(units.starts.searchsorted(span.end))
            self.taken[low:high] = b"\1" * (high - low)
            whole = first.get(span.start) == low and last.get(span.end) == high - 1
            written = text[span.start : span.end]
            if (
                whole
                and not span.is_discontinuous
                and len(written) >= SHORTEST
                and any(map(str.isalpha, written))
            ):
                found[self._key(low, high)].append(at)
        # The longest first, and no order that depends on the mentions'.
        self.mentions = dict(sorted(found.items(), key=lambda item: (-len(item[0]), item[0])))
        self.places = self._places()

    def _key(self, low: int, high: int) -> tuple[str, ...]:
        short = sum(map(len, self.words[low:high])) <= SHORT
        return tuple((self.words if short else self.folded)[low:high])

    def _places(self) -> dict[tuple[str, ...], list[int]]:
        """The numbers of the first words of all places, mentions or not."""
        places: dict[tuple[str, ...], list[int]] = defaultdict(list)
        lengths: dict[str, set[int]] = defaultdict(set)
        for key in self.mentions:
            lengths[key[0]].add(len(key))
        for i, (word, folded) in enumerate(zip(self.words, self.folded, strict=True)):
            if word not in lengths and folded not in lengths:
                continue
            for n in lengths.get(word, set()) | lengths.get(folded, set()):
                key = self._key(i, i + n)
                if len(key) == n and key in self.mentions and self._stands_alone(i, i + n - 1):
                    places[key].append(i)
        return places

    def _stands_alone(self, first: int, last: int) -> bool:
        start, end = self.starts[first], self.ends[last]
        if len(self.text[start:end].splitlines()) > 1:
            return False
        before, after = self.text[max(start - 2, 0) : start], self.text[end : end + 2]
        cut_before = self.text[start].isdecimal() and _NUMBER_BEFORE.search(before)
        cut_after = self.text[end - 1].isdecimal() and _NUMBER_AFTER.match(after)
        return not (cut_before or cut_after)

    def free(self, key: tuple[str, ...]) -> list[int]:
        """The places of these words that no mention touches, none overlapping another."""
        n, free, stop = len(key), [], 0
        for i in self.places[key]:
            if i >= stop and not any(self.taken[i : i + n]):
                free.append(i)
                stop = i + n
        return free

    def agree(self, labels: Collection[str] | None) -> bool:
        """Add and raise what most places of some words say; tells whether there was any."""
        changed = False
        for key, own in self.mentions.items():
            label, agreeing = _commonest([self.spans[at] for at in own])
            free, n = self.free(key), len(key)
            most = math.ceil(MOST * (len(own) + len(free)))
            if agreeing < most or not (labels is None or label in labels):
                continue
            same = [at for at in own if self.spans[at].label == label]
            level = sorted((self.spans[at].score for at in same), key=_sureness)[-most]
            for at in same:
                if _sureness(self.spans[at].score) < _sureness(level):
                    self.spans[at] = replace(self.spans[at], score=level)
                    changed = True
            for i in free:
                self.taken[i : i + n] = b"\1" * n
                own.append(len(self.spans))
                self.spans.append(Span(self.starts[i], self.ends[i + n - 1], label, score=level))
                changed = True
        return changed


def _sureness(score: float | None) -> float:
    """What has no score was not doubted."""
    return math.inf if score is None else score
