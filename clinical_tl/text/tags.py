"""Character spans to tags and back, exactly.

Tags are given to *units* (`text.units`): a mention may begin and end with any of them, and a
unit is decided at its first token.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np

from clinical_tl.errors import ConfigError, shown_value
from clinical_tl.schema import LabelSet, Span
from clinical_tl.text.tokenizer import IntArray
from clinical_tl.text.units import Units

Scheme = Literal["BIO", "BILOU"]
OUTSIDE = 0

_POSITIONS: dict[str, str] = {"BIO": "BI", "BILOU": "BILU"}


@dataclass(frozen=True)
class Representation:
    """What of the gold spans tags could represent, in mentions.

    `overlapping` were nested in or overlapped a longer one, `discontinuous` have gaps. Others
    begin or end `inside_word`, where units of tokens would hold them, `inside_token`, where no
    units do, or `on_space`.
    """

    gold: int = 0
    overlapping: int = 0
    discontinuous: int = 0
    inside_word: int = 0
    inside_token: int = 0
    on_space: int = 0

    @property
    def lost(self) -> int:
        """Mentions that no tag sequence can give back."""
        reasons = (self.overlapping, self.discontinuous, self.inside_word, self.inside_token)
        return sum(reasons) + self.on_space

    def __add__(self, other: Representation) -> Representation:
        return Representation(
            *(getattr(self, field.name) + getattr(other, field.name) for field in fields(self))
        )


@dataclass(frozen=True)
class TagSet:
    """The tags of a labelling scheme: `O` is 0, each label has its positions in a row.

    >>> from clinical_tl.text.units import text_units
    >>> tags = TagSet(LabelSet(("Drug", "Dose")), scheme="BIO")
    >>> tags.names
    ('O', 'B-Drug', 'I-Drug', 'B-Dose', 'I-Dose')
    >>> units = text_units("Take insulin glargine 20 units.")
    >>> numbers, held = tags.encode(units, [Span(5, 21, "Drug"), Span(22, 30, "Dose")])
    >>> [tags.names[number] for number in numbers]
    ['O', 'B-Drug', 'I-Drug', 'B-Dose', 'I-Dose', 'O']
    >>> held.lost
    0
    >>> [span.key for span in tags.decode(units, numbers)]
    [(5, 21, 'Drug'), (22, 30, 'Dose')]
    """

    labels: LabelSet
    scheme: Scheme = "BIO"

    def __post_init__(self) -> None:
        if self.scheme not in _POSITIONS:
            raise ConfigError(
                f"scheme {shown_value(self.scheme)}: choose one of {sorted(_POSITIONS)}"
            )

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
        taken = np.zeros(len(units), dtype=bool)
        lost = Counter[str]()
        for span in sorted(spans, key=lambda s: (s.start - s.end, s.start, s.label)):
            why_not = "discontinuous" if span.is_discontinuous else units.why_not(span)
            if why_not is not None:
                lost[why_not] += 1
                continue
            first = int(np.searchsorted(units.starts, span.start))
            last = int(np.searchsorted(units.ends, span.end))
            if taken[first : last + 1].any():
                lost["overlapping"] += 1
                continue
            taken[first : last + 1] = True
            self._fill(tags, first, last, span.label)
        return tags, Representation(len(spans), **lost)

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
