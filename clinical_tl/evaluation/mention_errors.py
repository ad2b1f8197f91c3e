"""What becomes of mentions: right, of the wrong type, with wrong borders, missed, spurious."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_tl.display.table import Table
from clinical_tl.evaluation.estimates import Bootstrap, Estimate

if TYPE_CHECKING:
    from clinical_tl.schema import Note, Prediction, Span

OUTCOMES = ("right", "wrong type", "wrong border", "both wrong", "missed", "spurious")
"""What a mention can be, of gold or predicted; the last of predicted ones alone."""

Outcome = tuple[str, str | None, str | None]
"""What became of it, its label in gold, the label predicted."""


@dataclass(frozen=True)
class Recall:
    """How many of a kind of gold mentions were found exactly, with the interval of that share."""

    kind: str
    mentions: int
    found: int
    share: Estimate | None

    def row(self) -> dict[str, Any]:
        """One row for `format_table`."""
        limits = {} if self.share is None else asdict(self.share)
        return {
            "mentions": self.kind,
            "gold": self.mentions,
            "found": self.found,
            "recall": limits.get("value"),
            "low": limits.get("low"),
            "high": limits.get("high"),
        }


@dataclass(frozen=True)
class MentionErrors:
    """Outcomes by label, labels taken for each other, and recall of mentions known and new.

    `by_label` has label → outcome → count: a mention of gold under its own label, a spurious one
    under the label predicted. `taken_for` has (gold label, predicted label, count) where the types
    differ, the most frequent first. `novelty` is empty where no training notes were given.
    """

    by_label: Mapping[str, Mapping[str, int]]
    taken_for: tuple[tuple[str, str, int], ...]
    novelty: tuple[Recall, ...] = ()

    def table(self) -> Table:
        """One row a label, the most frequent in gold first, and one for all."""
        rows = sorted(
            self.by_label.items(),
            key=lambda item: (item[1]["spurious"] - sum(item[1].values()), item[0]),
        )
        total = {name: sum(row[name] for _, row in rows) for name in OUTCOMES}
        every = [("all", total)] if len(rows) > 1 else []
        return Table(({"label": label, **row} for label, row in [*rows, *every]), names=("label",))


def mention_errors(
    notes: Sequence[Note],
    predictions: Sequence[Prediction],
    bootstrap: Bootstrap,
    train: Sequence[Note] | None = None,
) -> MentionErrors:
    """Every gold and predicted mention is given one outcome.

    Mentions of a note are paired one to one: first those that agree in borders and label, then in
    borders, then those of one label that overlap, then others that overlap, the longest overlap
    first. What is left is missed or spurious. Recall of mentions whose words (in lower case, blanks
    alike) training has marked somewhere, whatever as, tells what was learnt by heart from what was
    not.
    """
    found: list[Outcome] = []
    for note, prediction in zip(notes, predictions, strict=True):
        found += _outcomes(note.spans or (), prediction.spans or ())
    counts = Counter((gold or said, outcome) for outcome, gold, said in found)
    taken = Counter((gold, said) for _, gold, said in found if gold and said and gold != said)
    return MentionErrors(
        by_label={
            str(label): {name: counts[label, name] for name in OUTCOMES}
            for label in sorted({str(label) for label, _ in counts})
        },
        taken_for=tuple(
            (str(gold), str(said), n)
            for (gold, said), n in sorted(taken.items(), key=lambda item: (-item[1], item[0]))
        ),
        novelty=() if train is None else tuple(_novelty(notes, predictions, bootstrap, train)),
    )


def _outcomes(gold: Sequence[Span], predicted: Sequence[Span]) -> Iterator[Outcome]:
    # The same mention annotated twice is one to find.
    left = list({(_pieces(span), span.label): span for span in gold}.values())
    said = list(predicted)
    pairs = sorted(
        (rank, -overlap, i, j)
        for i, true in enumerate(left)
        for j, claimed in enumerate(said)
        if (overlap := _shared(true, claimed))
        for rank in [2 * (_pieces(true) != _pieces(claimed)) + (true.label != claimed.label)]
    )
    names = ("right", "wrong type", "wrong border", "both wrong")
    paired: set[int] = set()
    used: set[int] = set()
    for rank, _, i, j in pairs:
        if i not in paired and j not in used:
            paired.add(i)
            used.add(j)
            yield names[rank], left[i].label, said[j].label
    yield from (("missed", s.label, None) for i, s in enumerate(left) if i not in paired)
    yield from (("spurious", None, s.label) for j, s in enumerate(said) if j not in used)


def _pieces(span: Span) -> tuple[tuple[int, int], ...]:
    return span.fragments if span.is_discontinuous else ((span.start, span.end),)


def _shared(one: Span, other: Span) -> int:
    """How many characters two mentions have in common."""
    if one.start >= other.end or other.start >= one.end:
        return 0
    return sum(
        max(0, min(end, other_end) - max(start, other_start))
        for start, end in _pieces(one)
        for other_start, other_end in _pieces(other)
    )


def _novelty(
    notes: Sequence[Note],
    predictions: Sequence[Prediction],
    bootstrap: Bootstrap,
    train: Sequence[Note],
) -> Iterator[Recall]:
    known = {_form(note, span) for note in train for span in note.spans or ()}
    # Of each note: how many mentions, and how many of them found, seen ones and new ones.
    counts = np.zeros((len(notes), 2, 2))
    for row, (note, prediction) in enumerate(zip(notes, predictions, strict=True)):
        claimed = {(_pieces(span), span.label) for span in prediction.spans or ()}
        mentions = {(_pieces(span), span.label): span for span in note.spans or ()}
        for key, span in mentions.items():
            counts[row, int(_form(note, span) not in known)] += 1, key in claimed
    for column, kind in enumerate(("seen in training", "new")):
        whole, part = counts[:, column, 0], counts[:, column, 1]
        yield Recall(kind, int(whole.sum()), int(part.sum()), bootstrap.ratio(part, whole))


def _form(note: Note, span: Span) -> str:
    """A mention's words, in lower case."""
    words = " ".join(note.text[start:end] for start, end in _pieces(span))
    return " ".join(words.casefold().split())
