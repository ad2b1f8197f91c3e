"""What the words around a mention say of it: negated, possible, past, hypothetical, a relative's.

The algorithm is ConText (Harkema et al. 2009, doi:10.1016/j.jbi.2009.05.002),
which extends NegEx (Chapman et al. 2001, doi:10.1006/jbin.2001.1029): a trigger gives its
meaning to every mention between itself and the end of the sentence, on the side it looks to,
unless a termination term comes first.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING

from clinical_tl.errors import ConfigError
from clinical_tl.rules.measures import TextUnits, words_of
from clinical_tl.rules.triggers import (
    MEANINGS,
    Meaning,
    Trigger,
    relatives,
    terminations,
    triggers,
)

if TYPE_CHECKING:
    from spacy.matcher import PhraseMatcher
    from spacy.tokens import Doc
    from spacy.vocab import Vocab

Mention = tuple[int, int]
Attributes = tuple[tuple[str, str], ...]

# A full stop ends a sentence unless it follows a title; a line end does before a
# bullet, a number or a capital, since lists have no full stops; a blank line always does. A
# question mark that stands alone begins something ("? Pneumonia").
_SENTENCE_END = re.compile(
    r"(?<!\bDr)(?<!\bMr)(?<!\bMrs)(?<!\bMs)(?<!\bvs)(?<!\bapprox)"
    r"(?:(?<=\S)[.!?]+|(?<!\S)[.!]+)[\"')\]]*(?=\s+[^a-z\s])"
    r"|\n[ \t\r]*(?=\n|[-*•#]|\d|[A-Z])"
)
_FAMILY_HEADING = re.compile(
    r"^[ \t#*]*(?:family (?:medical )?(?:history|hx)|fhx?)[ \t*]*:", re.IGNORECASE | re.MULTILINE
)
# "Mother: asthma" stands in the section and does not end it.
_RELATIVE = "|".join(re.escape(name) for name in sorted(relatives(), key=len, reverse=True))
_NEXT_HEADING = re.compile(
    rf"^[ \t#*]*(?!(?:{_RELATIVE})\b)[a-z][a-z/&, -]{{0,40}}:|^[ \t\r]*$",
    re.IGNORECASE | re.MULTILINE,
)
# Within a line a heading follows a full stop and begins with a capital.
_INLINE_HEADING = re.compile(rf"(?<=[.;])[ \t]+(?!(?i:{_RELATIVE})\b)[A-Z][A-Za-z/&, -]{{0,40}}:")
# Between mentions that are listed together.
_LISTING = frozenset({",", "/", "and", "or", "&"})


class Context:
    """Gives mentions attributes, by triggers (`triggers`) found with spaCy's phrase matcher.

    Of triggers that overlap the longest wins, so "no change" is no "no". A trigger inside a
    mention is part of its name. What stands under a heading such as "Family history:" is of
    the family up to the next heading (in the same line, one after a full stop) or blank line.
    Past medical history gets no such scope: chronic conditions stand there that the patient
    still has.
    """

    def __init__(self, vocab: Vocab, *, max_units: int | None = None) -> None:
        """Compiles the triggers.

        Args:
            vocab: the vocabulary of the documents, with `LOWER`.
            max_units: ends a scope so many units from its trigger; `None` (as ConText) lets
                it reach to the end of the sentence.

        Raises:
            ConfigError: `max_units` below 1.
        """
        from spacy.matcher import PhraseMatcher
        from spacy.tokens import Doc

        if max_units is not None and max_units < 1:
            raise ConfigError(f"max_units is {max_units}; allowed: 1 or more, or None")
        self._max_units = max_units
        self._phrases: PhraseMatcher = PhraseMatcher(vocab, attr="LOWER")
        self._triggers: dict[int, list[Trigger]] = {}
        self._terminations: dict[int, tuple[Meaning, ...]] = {}

        def add(phrase: str) -> int:
            # The words as matched are the key: "vs." and "vs ." are one.
            words = words_of(phrase.lower())
            key = " ".join(words)
            if key not in self._phrases:
                self._phrases.add(key, [Doc(vocab, words=words)])
            return int(vocab.strings[key])

        for trigger in triggers():
            self._triggers.setdefault(add(trigger.phrase), []).append(trigger)
        for phrase, meanings in terminations():
            self._terminations[add(phrase)] = meanings

    def attributes(
        self, text: str, units: TextUnits, doc: Doc, mentions: Sequence[Mention]
    ) -> list[Attributes]:
        """For each mention, `(meaning, "true")` for what is said of it; often nothing.

        Args:
            text: the note's text.
            units: its units.
            doc: the same units as spaCy's document.
            mentions: first unit and the one after the last.
        """
        stated: list[set[str]] = [set() for _ in mentions]
        bounds = _sentence_bounds(text, units)
        found = self._found(doc, mentions)
        stops = [(first, stop, key) for first, stop, key in found if key in self._terminations]
        for first, stop, key in found:
            for trigger in self._triggers.get(key, ()):
                if trigger.meaning is None:
                    continue
                sentence = bisect_right(bounds, first)
                low, high = bounds[sentence - 1], bounds[sentence]
                ends = [s for s in stops if trigger.meaning in self._terminations[s[2]]]
                direction, listed = trigger.direction, low
                if direction == "beside":
                    listed = _listed_before(first, mentions, doc)
                    direction = "forward" if listed == first else "backward"
                    listed = max(listed, low)
                scopes = []
                if direction != "backward":
                    scopes.append((stop, min([high, *(s[0] for s in ends if s[0] >= stop)])))
                if direction != "forward":
                    scopes.append((max([listed, *(s[1] for s in ends if s[1] <= first)]), first))
                for number, (begin, end) in enumerate(mentions):
                    if any(self._reaches(scope, stop, first, begin, end) for scope in scopes):
                        stated[number].add(trigger.meaning)
        for begin, end in _family_sections(text):
            for number, (first, _) in enumerate(mentions):
                if begin <= units.starts[first] < end:
                    stated[number].add("family")
        return [
            tuple((meaning, "true") for meaning in MEANINGS if meaning in said) for said in stated
        ]

    def _reaches(self, scope: Mention, after: int, before: int, begin: int, end: int) -> bool:
        if not (scope[0] <= begin and end <= scope[1]):
            return False
        distance = begin - after if begin >= after else before - end
        return self._max_units is None or distance < self._max_units

    def _found(self, doc: Doc, mentions: Sequence[Mention]) -> list[tuple[int, int, int]]:
        """Triggers and termination terms outside the mentions, the longest of overlapping ones."""
        taken = {unit for first, stop in mentions for unit in range(first, stop)}
        chosen = []
        for key, first, stop in sorted(self._phrases(doc), key=lambda m: (m[1] - m[2], m[1], m[0])):
            if taken.isdisjoint(range(first, stop)):
                taken.update(range(first, stop))
                chosen.append((first, stop, key))
        return sorted(chosen)


def _listed_before(first: int, mentions: Sequence[Mention], doc: Doc) -> int:
    """Where the list of mentions begins that ends right before a unit; that unit without one."""
    begin = first
    for start, stop in sorted(mentions, key=lambda mention: (-mention[1], -mention[0])):
        between = [unit.lower_ for unit in doc[stop:begin]] if stop <= begin else None
        joined = between is not None and (
            _LISTING.issuperset(between) if begin < first else not between
        )
        if joined:
            begin = start
    return begin


def _sentence_bounds(text: str, units: TextUnits) -> list[int]:
    """The first unit of every sentence, and the number of units."""
    bounds = {0, len(units)}
    bounds.update(bisect_left(units.starts, end.end()) for end in _SENTENCE_END.finditer(text))
    return sorted(bounds)


def _family_sections(text: str) -> list[tuple[int, int]]:
    """Where the sections on the family stand, in characters."""
    sections = []
    for heading in _FAMILY_HEADING.finditer(text):
        # The heading's own line may hold the section, or end right behind the colon.
        line_end = text.find("\n", heading.end())
        after = len(text) if line_end < 0 else line_end + 1
        next_heading = _INLINE_HEADING.search(text, heading.end(), after)
        if next_heading is None and after < len(text):
            next_heading = _NEXT_HEADING.search(text, after)
        sections.append((heading.end(), next_heading.start() if next_heading else len(text)))
    return sections
