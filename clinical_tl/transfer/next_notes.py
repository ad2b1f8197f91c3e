"""`choose_next`: which notes to annotate next, so that few annotations teach much.

A note is worth its annotation where the model is unsure of it, where nothing annotated is like it
and where none of those chosen beside it is. All three are one product here: notes are chosen one by
one, each the one with the greatest uncertainty × squared distance to the nearest note that is
annotated or chosen already. That is the greedy k-center of Sener & Savarese 2018
(https://arxiv.org/abs/1708.00489), weighted by uncertainty as Zhdanov 2019 weighs clusters
(https://arxiv.org/abs/1901.05954); BADGE (Ash et al. 2020, https://arxiv.org/abs/1906.03671) joins
both in the embedding itself. Nothing is left to chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from clinical_tl.data.notes import NotesLike, as_notes, check_unique
from clinical_tl.data.ties import related_notes, tied_notes
from clinical_tl.data.traces import FEWEST_WORDS, MOST_WORDS, NEAR_DUPLICATE, Traces, near_groups
from clinical_tl.display.discreet import Discreet
from clinical_tl.display.table import Table, Tabular
from clinical_tl.errors import NoteError, TaskError
from clinical_tl.estimators.checks import check_at_least
from clinical_tl.estimators.neighbour_distance import NeighbourDistance
from clinical_tl.estimators.unit_length import unit_length
from clinical_tl.models.feature_model import FeatureModel
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.schema import Note, Prediction
from clinical_tl.tasks.note_task import NoteTask
from clinical_tl.tasks.task import Task
from clinical_tl.tasks.unit_task import UnitTask
from clinical_tl.text.visible import can_be_read
from clinical_tl.transfer.silver_notes import LIKELY

Floats = npt.NDArray[np.float64]

# A note the model is sure of may still be chosen where all others are, too.
LEAST = 1e-3


@dataclass(frozen=True, eq=False, repr=False)
class ChosenNotes(Tabular, Discreet):
    """Notes to annotate, in the order in which they were chosen.

    `uncertainty` (0 to 1) and `novelty` (the distance, 0 to 2, to the nearest annotated note, of
    embeddings of length 1; NaN without any) have one number a note.
    """

    notes: tuple[Note, ...]
    predictions: tuple[Prediction, ...]
    uncertainty: tuple[float, ...]
    novelty: tuple[float, ...]

    def table(self) -> Table:
        """One row a note."""
        return Table(
            (
                {"note_id": note.note_id, "uncertainty": uncertainty, "novelty": novelty}
                for note, uncertainty, novelty in zip(
                    self.notes, self.uncertainty, self.novelty, strict=True
                )
            ),
            names=("note_id",),
        )


def choose_next(
    model: FeatureModel | TransferModel,
    unlabelled: NotesLike,
    n: int,
    *,
    labelled: NotesLike = (),
    progress: bool = True,
) -> ChosenNotes:
    """The `n` notes whose annotation should teach the model most, and its predictions for them.

    Uncertainty: of one label a note, one minus the margin between the two likeliest; of codes the
    mean entropy; of mentions that of the least sure one, those included that the model nearly
    made. Distances are between embeddings by the model's own encoder. Of a patient, of a text
    and of what is nearly one text a single note is chosen, and none of which `labelled` has a
    note; those with nothing to read are none. The same notes and model give the same choice.

    Args:
        model: fitted on the labelled notes.
        unlabelled: to choose from; annotations are not looked at.
        n: how many.
        labelled: annotated already; without them the first note is the one of most uncertainty.
        progress: show progress bars.

    Raises:
        ConfigError: `n` below 1.
        NoteError: fewer than `n` notes can be chosen; two of one id.
        TaskError: a task whose predictions have no confidence a label.
    """
    check_at_least(1, n=n)
    if not isinstance(model.task, NoteTask | UnitTask):
        raise TaskError(
            f"{type(model.task).__name__}: its predictions have no confidence a label; allowed: "
            "tasks that label notes or tag their units"
        )
    known, pool = as_notes(labelled), as_notes(unlabelled)
    check_unique(pool)
    # Of what the tokenizer keeps nothing of the model knows nothing, which would pass for doubt.
    tokens = model.tokenizer.encode([note.text for note in pool])
    readable = [can_be_read(n.text, own) for n, own in zip(pool, tokens, strict=True)]
    free = np.where(readable, _free(known, pool), -1)
    candidates = [note for note, is_free in zip(pool, free >= 0, strict=True) if is_free]
    units = free[free >= 0]
    most = len(set(units.tolist()))
    if most < n:
        raise NoteError(
            f"n={n}, but of {len(pool)} notes {most} can be chosen: those with nothing to read, or "
            "with the patient or (nearly) the text of one annotated or chosen, are left out; give "
            "more notes, or ask for fewer"
        )
    uncertainty = _uncertainty(model, candidates, progress=progress)
    texts = [note.text for note in (*known, *candidates)]
    vectors = unit_length(np.asarray(model.embed_texts(texts), dtype=np.float64))
    novelty = _nearest(vectors[len(known) :], vectors[: len(known)])
    rows = _chosen(uncertainty, novelty, vectors[len(known) :], units, n)
    notes = tuple(candidates[row] for row in rows)
    return ChosenNotes(
        notes,
        tuple(model.predict(notes, progress=False)),
        tuple(float(uncertainty[row]) for row in rows),
        tuple(float(novelty[row]) if known else float("nan") for row in rows),
    )


def _free(known: Sequence[Note], pool: Sequence[Note]) -> npt.NDArray[np.int64]:
    """For each note of the pool the unit it belongs to, −1 where it must not be chosen."""
    every = [*known, *pool]
    units = related_notes(every)
    traces = Traces.of(every)
    if traces.n_words.sum() <= MOST_WORDS:
        near = near_groups(traces, NEAR_DUPLICATE, fewest_words=FEWEST_WORDS)
        units = tied_notes(units.tolist(), near)
    taken = set(units[: len(known)].tolist())
    return np.array(
        [-1 if unit in taken else unit for unit in units[len(known) :].tolist()],
        dtype=np.int64,
    )


def _uncertainty(
    model: FeatureModel | TransferModel, notes: Sequence[Note], *, progress: bool
) -> Floats:
    """How unsure the model is of each note, 0 to 1, shape (notes,)."""
    doubting, task = model, model.task
    if isinstance(task, UnitTask):
        # What the model nearly made a mention of is what it is unsure of.
        task = task.doubting(LIKELY)
        if isinstance(model, FeatureModel):
            doubting = replace(model, task=task)
        else:
            doubting = copy(model)
            doubting.task = task
    predictions = doubting.predict(notes, progress=progress)
    return np.array([_unsureness(task, prediction) for prediction in predictions])


def _unsureness(task: Task, prediction: Prediction) -> float:
    if isinstance(task, UnitTask):
        return max((_entropy([span.score or 0.0]) for span in prediction.spans or ()), default=0.0)
    scores = sorted(map(float, prediction.scores.values()))
    if task.multi_label:
        return _entropy(scores)
    return 1 - (scores[-1] - scores[-2])


def _entropy(probabilities: Iterable[float]) -> float:
    """Mean binary entropy, in bits."""
    p = np.clip(list(probabilities), 1e-12, 1 - 1e-12)
    return float(-(p * np.log2(p) + (1 - p) * np.log2(1 - p)).mean())


def _nearest(vectors: Floats, known: Floats) -> Floats:
    """Distance to the nearest known vector, shape (notes,); 1 where there is none."""
    if not len(known):
        return np.ones(len(vectors))
    return -NeighbourDistance(1).fit(np.concatenate([known, known[:1]])).score_samples(vectors)


def _chosen(
    uncertainty: Floats, novelty: Floats, vectors: Floats, units: npt.NDArray[np.int64], n: int
) -> list[int]:
    """The rows of most uncertainty × squared distance, one after the other, one a unit."""
    weight, distance = np.maximum(uncertainty, LEAST), novelty
    left = np.ones(len(units), dtype=np.bool_)
    rows: list[int] = []
    for _ in range(n):
        row = int(np.where(left, weight * distance**2, -1.0).argmax())
        rows.append(row)
        left &= units != units[row]
        distance = np.minimum(distance, np.linalg.norm(vectors - vectors[row], axis=1))
    return rows
