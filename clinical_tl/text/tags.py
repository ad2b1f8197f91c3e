"""Character spans to tags and back, exactly.

Tags are given to *units*: the tokens of one run of letters, one run of digits or one other
visible character. Whatever the tokenizer (WordPiece, BPE, Unigram), a unit starts where a
reader sees one start, "500mg," has three, and a mention may begin and end at any of them.
A unit is decided at its first token.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from clinical_tl.errors import ConfigError
from clinical_tl.schema import LabelSet, Span
from clinical_tl.text.tokenizer import IntArray, TokenisedNote

Scheme = Literal["BIO", "BILOU"]
OUTSIDE = 0

_POSITIONS: dict[str, str] = {"BIO": "BI", "BILOU": "BILU"}
_MARKS = {"Mn", "Mc", "Me", "Cf"}
_UNIT = re.compile(r"[^\W\d_]+|\d+|[^\w\s]|_")


@dataclass(frozen=True)
class Units:
    """The units of a note, in order.

    `tokens` (the token each is decided at), `starts` and `ends` (characters, half-open)
    have shape (units,).
    """

    tokens: IntArray
    starts: IntArray
    ends: IntArray

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True)
class Representation:
    """What of the gold spans tags could represent, in mentions.

    `overlapping` were nested in or overlapped a longer one, `discontinuous` have gaps,
    `misaligned` start or end inside a unit or on white space.
    """

    gold: int = 0
    overlapping: int = 0
    discontinuous: int = 0
    misaligned: int = 0

    @property
    def lost(self) -> int:
        """Mentions that no tag sequence can give back."""
        return self.overlapping + self.discontinuous + self.misaligned

    def __add__(self, other: Representation) -> Representation:
        return Representation(
            self.gold + other.gold,
            self.overlapping + other.overlapping,
            self.discontinuous + other.discontinuous,
            self.misaligned + other.misaligned,
        )


@dataclass(frozen=True)
class TagSet:
    """The tags of a labelling scheme: `O` is 0, each label has its positions in a row."""

    labels: LabelSet
    scheme: Scheme = "BIO"

    def __post_init__(self) -> None:
        if self.scheme not in _POSITIONS:
            raise ConfigError(f"scheme {self.scheme!r}: choose one of {sorted(_POSITIONS)}")

    @property
    def names(self) -> tuple[str, ...]:
        """Names by number: `O`, `B-Drug`, `I-Drug` and so on."""
        positions = _POSITIONS[self.scheme]
        return ("O", *(f"{p}-{label}" for label in self.labels for p in positions))

    def __len__(self) -> int:
        return 1 + len(self.labels) * len(_POSITIONS[self.scheme])

    def tag(self, label: str, position: str) -> int:
        """The number of a tag such as ("Drug", "B")."""
        positions = _POSITIONS[self.scheme]
        return 1 + self.labels.positions[label] * len(positions) + positions.index(position)

    def transitions(self) -> np.ndarray:
        """Which tag may follow which, shape (tags + 1, tags + 1), bool.

        The last row is the start of a note, the last column its end.
        """
        n = len(self)
        allowed = np.zeros((n + 1, n + 1), dtype=bool)
        positions = [self._position(tag) for tag in range(n)] + [(-1, "O")]
        for before, (label_before, position_before) in enumerate(positions):
            for after, (label_after, position_after) in enumerate(positions):
                same = label_before == label_after
                is_open = position_before in "BI"
                if self.scheme == "BIO":
                    ok = position_after != "I" or (is_open and same)
                elif is_open:
                    ok = position_after in "IL" and same
                else:
                    ok = position_after in "OBU"
                allowed[before, after] = ok
        return allowed

    def _position(self, tag: int) -> tuple[int, str]:
        if tag == OUTSIDE:
            return -1, "O"
        label, position = divmod(tag - 1, len(_POSITIONS[self.scheme]))
        return label, _POSITIONS[self.scheme][position]

    def encode(self, units: Units, spans: Sequence[Span]) -> tuple[IntArray, Representation]:
        """Tags of the units, shape (units,), and what of the spans they hold.

        Of overlapping mentions the longest is kept (ties: the first); what can't be
        represented is counted, never moved to fit. A label outside the set raises KeyError.
        """
        tags = np.full(len(units), OUTSIDE, dtype=np.int64)
        first_of = {int(start): i for i, start in enumerate(units.starts)}
        last_of = {int(end): i for i, end in enumerate(units.ends)}
        taken = np.zeros(len(units), dtype=bool)
        overlapping = discontinuous = misaligned = 0
        for span in sorted(spans, key=lambda s: (s.start - s.end, s.start, s.label)):
            if span.is_discontinuous:
                discontinuous += 1
                continue
            first, last = first_of.get(span.start), last_of.get(span.end)
            if first is None or last is None or last < first:
                misaligned += 1
                continue
            if taken[first : last + 1].any():
                overlapping += 1
                continue
            taken[first : last + 1] = True
            self._fill(tags, first, last, span.label)
        return tags, Representation(len(spans), overlapping, discontinuous, misaligned)

    def _fill(self, tags: IntArray, first: int, last: int, label: str) -> None:
        if self.scheme == "BILOU" and first == last:
            tags[first] = self.tag(label, "U")
            return
        tags[first : last + 1] = self.tag(label, "I")
        tags[first] = self.tag(label, "B")
        if self.scheme == "BILOU":
            tags[last] = self.tag(label, "L")

    def decode(
        self, units: Units, tags: IntArray, probabilities: np.ndarray | None = None
    ) -> tuple[Span, ...]:
        """The spans of a valid tag sequence, in order.

        `tags` has shape (units,); a span's score is the mean of `probabilities`, shape
        (units,), over its units.
        """
        spans: list[Span] = []
        first: int | None = None
        for i in range(len(tags)):
            label, position = self._position(int(tags[i]))
            if position in "BU":
                first = i
            if first is None or position == "O":
                continue
            if position in "LU" or (self.scheme == "BIO" and not self._goes_on(tags, i)):
                spans.append(
                    Span(
                        int(units.starts[first]),
                        int(units.ends[i]),
                        self.labels.names[label],
                        score=None
                        if probabilities is None
                        else float(probabilities[first : i + 1].mean()),
                    )
                )
                first = None
        return tuple(spans)

    def overlooked(
        self, units: Units, tags: IntArray, probabilities: np.ndarray, least: float
    ) -> tuple[Span, ...]:
        """Stretches tagged as outside where a mention has at least the probability `least`.

        `probabilities` has shape (units, tags). A stretch's score is the highest of its units',
        its label that of the likeliest tag there.
        """
        inside = 1 - probabilities[:, OUTSIDE]
        candidates = np.concatenate([[False], (tags == OUTSIDE) & (inside >= least), [False]])
        edges = np.flatnonzero(candidates[1:] != candidates[:-1])
        spans = []
        for first, stop in edges.reshape(-1, 2).tolist():
            best = probabilities[first:stop, OUTSIDE + 1 :].max(axis=0).argmax() + OUTSIDE + 1
            label, _ = self._position(int(best))
            spans.append(
                Span(
                    int(units.starts[first]),
                    int(units.ends[stop - 1]),
                    self.labels.names[label],
                    score=float(inside[first:stop].max()),
                )
            )
        return tuple(spans)

    def _goes_on(self, tags: IntArray, i: int) -> bool:
        return i + 1 < len(tags) and self._position(int(tags[i + 1]))[1] == "I"


def text_units(text: str) -> Units:
    """The units of a text by itself, without a tokenizer; `tokens` numbers them."""
    bounds = np.array([m.span() for m in _UNIT.finditer(text)], dtype=np.int64).reshape(-1, 2)
    return Units(np.arange(len(bounds)), bounds[:, 0], bounds[:, 1])


def find_units(text: str, tokens: TokenisedNote) -> Units:
    """The units of a text, as its tokens can tell them apart.

    Tokens without a visible character (line breaks in some tokenizers) belong to none. Where
    one token holds several runs (rare), they make one unit. Combining marks that a tokenizer
    drops belong to the unit before them.
    """
    if not len(tokens):
        empty = np.zeros(0, dtype=np.int64)
        return Units(empty, empty, empty)
    run_starts = np.array([m.start() for m in _UNIT.finditer(text)] or [0], dtype=np.int64)
    visible = np.flatnonzero(tokens.ends > tokens.starts)
    run = np.searchsorted(run_starts, tokens.starts[visible], side="right") - 1
    # A token that begins inside a run goes on with what the one before it began.
    opens = tokens.starts[visible] == run_starts[np.maximum(run, 0)]
    opens[1:] &= run[1:] != run[:-1]
    opens[:1] = True
    first = np.flatnonzero(opens)
    ends = np.maximum.reduceat(tokens.ends[visible], first) if len(first) else first
    starts = tokens.starts[visible][first]
    return Units(
        visible[first], starts, ends if text.isascii() else _with_marks(text, starts, ends)
    )


def _with_marks(text: str, starts: IntArray, ends: IntArray) -> IntArray:
    """The ends, moved over combining and joining characters up to the next unit's start."""
    moved = ends.copy()
    for i, limit in enumerate([*starts[1:].tolist(), len(text)]):
        end = int(ends[i])
        while end < limit and unicodedata.category(text[end]) in _MARKS:
            end += 1
        moved[i] = end
    return moved
