"""What is left to do by hand: accept what a model is sure of, and send the rest to a human."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_tl.display.table import Table, Tabular
from clinical_tl.estimators.confidence import NEVER, lowest_confidence
from clinical_tl.evaluation.estimates import Bootstrap, Estimate
from clinical_tl.tasks.note_task import NoteTask
from clinical_tl.tasks.unit_task import UnitTask

if TYPE_CHECKING:
    from clinical_tl.metrics.matrix import Floats
    from clinical_tl.schema import Note, Prediction
    from clinical_tl.tasks.task import Task

WANTED = (0.9, 0.95, 0.99)
"""Shares right among what is accepted that a threshold is looked for."""
FIXED = (0.0, 0.5, 0.8, 0.9, 0.95)
"""Thresholds that are shown anyway; at 0 all that the model says is accepted."""
UNSAID = -1.0

Chosen = Mapping[float, float | None]
"""Wanted share right → the least confidence to accept from; `None` where none reaches it."""


@dataclass(frozen=True)
class AcceptedShare:
    """What is accepted from the confidence `threshold` on, and how much of it is right.

    `wanted` is the share right that the threshold was chosen for, `None` for a fixed one; where no
    threshold reached it, that is `None` and everything goes `to_human`. `found` is the share of
    all gold that is among what was accepted and right.
    """

    threshold: float | None
    wanted: float | None
    accepted: int
    to_human: int
    right: Estimate | None
    found: float | None


@dataclass(frozen=True, repr=False)
class Acceptance(Tabular):
    """Rows of `AcceptedShare`; `of` says of what, `chosen_on` which notes chose the thresholds."""

    of: str
    chosen_on: str
    rows: tuple[AcceptedShare, ...]

    def table(self) -> Table:
        """One row a threshold."""
        return Table(map(self._row, self.rows))

    def _row(self, row: AcceptedShare) -> dict[str, Any]:
        right, everything = row.right, row.accepted + row.to_human
        return {
            "accept from": row.threshold,
            "chosen for": None if row.wanted is None else f"{100 * row.wanted:g} % right",
            "accepted": row.accepted,
            "share": row.accepted / everything if everything else None,
            "right": None if right is None else right.value,
            "low": None if right is None else right.low,
            "high": None if right is None else right.high,
            "found": row.found,
            "to a human": row.to_human,
        }


@dataclass(frozen=True)
class _Said:
    """What a model said: of which note, how surely, whether rightly, all (n,); each note's gold."""

    of: str
    note: Floats
    sure: Floats
    right: Floats
    gold: Floats


def acceptance_thresholds(
    task: Task, notes: Sequence[Note], predictions: Sequence[Prediction]
) -> Chosen | None:
    """For each share of `WANTED` the lowest confidence from which so much is right on dev notes.

    What is right is estimated by Laplace's rule (`estimators.confidence`), so that a handful of
    lucky predictions does not choose. `None` where predictions have no confidence; where nothing
    is predicted no share is reached.
    """
    said = _said(task, notes, predictions)
    if said is None:
        return None
    if not said.sure.size:
        return dict.fromkeys(WANTED)
    likely = said.sure > UNSAID
    found = {
        wanted: lowest_confidence(said.sure[likely], said.right[likely] > 0, wanted)
        for wanted in WANTED
    }
    return {wanted: None if at == NEVER else at for wanted, at in found.items()}


def acceptance_of(
    task: Task,
    notes: Sequence[Note],
    predictions: Sequence[Prediction],
    bootstrap: Bootstrap,
    chosen: Chosen | None = None,
) -> Acceptance | None:
    """What is accepted, and right, from each threshold on; `None` without confidences.

    Classification: notes, by the probability of the label given; a note without one always goes
    to a human. Else codes, mentions or relations, as given. Thresholds are those `chosen` on dev
    notes, else chosen here, which flatters them.
    """
    said = _said(task, notes, predictions)
    if said is None or not said.sure.size:
        return None
    on = "these notes" if chosen is None else "dev notes"
    if chosen is None:
        chosen = acceptance_thresholds(task, notes, predictions) or {}
    asked: list[tuple[float | None, float | None]] = [(at, None) for at in FIXED]
    asked += [(at, wanted) for wanted, at in chosen.items()]
    # Where nothing is accepted comes last.
    asked.sort(key=lambda pair: (NEVER if pair[0] is None else pair[0], pair[1] or 0.0))
    rows = tuple(_accepted(said, at, wanted, bootstrap) for at, wanted in asked)
    return Acceptance(said.of, on, rows)


def _accepted(
    said: _Said, at: float | None, wanted: float | None, bootstrap: Bootstrap
) -> AcceptedShare:
    taken = said.sure >= (NEVER if at is None else at)
    places = said.note[taken].astype(np.int64)
    ones = np.ones(len(places))
    accepted, right = (
        np.bincount(places, weights=each, minlength=len(said.gold)).astype(np.float64)
        for each in (ones, said.right[taken])
    )
    gold = float(said.gold.sum())
    return AcceptedShare(
        at,
        wanted,
        int(taken.sum()),
        int((~taken).sum()),
        bootstrap.ratio(right, accepted),
        float(right.sum()) / gold if gold else None,
    )


def _said(task: Task, notes: Sequence[Note], predictions: Sequence[Prediction]) -> _Said | None:
    rows: list[tuple[int, float | None, bool]] = []
    gold = []
    for i, (note, prediction) in enumerate(zip(notes, predictions, strict=True)):
        left, claims = _claims(task, note, prediction)
        gold.append(len(left))
        if not claims and isinstance(task, NoteTask) and not task.multi_label:
            rows.append((i, UNSAID, False))
        for claim, score in sorted(claims, key=lambda one: -(one[1] or 0.0)):
            rows.append((i, score, claim in left))
            # Said twice, it is right once.
            left.discard(claim)
    if any(score is None for _, score, _ in rows):
        return None
    table = np.array(rows, dtype=np.float64).reshape(-1, 3)
    of, sure, right = table.T
    return _Said(_unit(task), of, sure, right, np.array(gold, dtype=np.float64))


def _claims(
    task: Task, note: Note, prediction: Prediction
) -> tuple[set[Any], list[tuple[Any, float | None]]]:
    """What is in a note's gold, and what was said of it, with how surely."""
    if isinstance(task, NoteTask):
        given = [(label, prediction.scores.get(label)) for label in task.said(prediction)]
        return set(task.gold_labels([note])), given
    if isinstance(task, UnitTask):
        marked = {(*span.key, span.fragments) for span in note.spans or ()}
        return marked, [((*s.key, s.fragments), s.score) for s in prediction.spans or ()]
    gold = {(r.head, r.tail, r.label) for r in note.relations or ()}
    said = prediction.relations or ()
    # A person's, or a rule's, has none.
    return gold, [((r.head, r.tail, r.label), getattr(r, "score", None)) for r in said]


def _unit(task: Task) -> str:
    if isinstance(task, NoteTask):
        return task.fields[0] if task.multi_label else "notes"
    return "mentions" if isinstance(task, UnitTask) else "relations"
