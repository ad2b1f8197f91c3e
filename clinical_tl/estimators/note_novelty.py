"""Novelty of notes to a model: the detector on what the model's own encoder makes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from clinical_tl.data.ties import related_notes
from clinical_tl.errors import NoteError, TaskError
from clinical_tl.estimators.novelty import NoveltyDetector, NoveltyMethod
from clinical_tl.schema import Note

Embed = Callable[[Sequence[str]], npt.NDArray[np.float32]]
"""Texts → embeddings, shape (texts, d)."""

# Embedded with every detector, to notice an encoder that has changed since.
PROBE = "The patient was seen in clinic today and had no complaints."


def fit_note_novelty(
    embed: Embed, train: Sequence[Note], *, method: NoveltyMethod, seed: int
) -> NoveltyDetector:
    """A detector of what is unlike the training notes; a patient's are held out together.

    Labels are used where the method can't do without. One mean a label was measured to change
    little (AUROC by 0.006 at most, MTS-Dialog), and a rare label's mean gives its notes away.

    Raises `NoteError` without notes, `TaskError` for too few or for one without a label that
    the method needs.
    """
    if not train:
        raise NoteError("there are no notes to learn from; give the training notes")
    labels = None
    if method == "relative_mahalanobis":
        labels = [note.label for note in train if note.label is not None]
        if len(labels) < len(train):
            raise TaskError(
                f"{len(train) - len(labels)} of {len(train)} notes have no label, which {method} "
                "needs of all; use method='mahalanobis'"
            )
    return NoveltyDetector(method, seed=seed).fit(
        embed([note.text for note in train]),
        labels,
        related_notes(train).tolist(),
        probe=embed([PROBE])[0],
    )


def note_novelty(
    detector: NoveltyDetector | None, embed: Embed, notes: Sequence[Note]
) -> list[float]:
    """One score a note. Raises `TaskError` without a detector, or if the encoder has changed."""
    if detector is None:
        raise TaskError(
            "this model has no novelty detector; fit one with model.fit_novelty(train), and save "
            "the model again"
        )
    detector.check_probe(embed([PROBE])[0])
    if not notes:
        return []
    return [float(score) for score in detector.novelty(embed([note.text for note in notes]))]
