"""What words know, added to what a model says of notes: fitted, weighed by dev notes, joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from clinical_tl.data.ties import related_notes
from clinical_tl.errors import ConfigError, TaskError, shown_value
from clinical_tl.estimators.chance import clearly
from clinical_tl.estimators.lexical_classifier import LexicalClassifier
from clinical_tl.schema import score_rows
from clinical_tl.tasks.note_task import NoteTask
from clinical_tl.text.visible import has_text

if TYPE_CHECKING:
    import numpy.typing as npt

    from clinical_tl.schema import Note, Prediction
    from clinical_tl.tasks.task import Task

Lexical = bool | Literal["hashed"]
"""Whether words count beside the encoder: with a vocabulary, or with hashed words."""

WEIGHTS = (0.5, 0.0, 0.25, 1.0)
"""What words may count beside the model, where 1 is as much; the first, unless dev notes speak
clearly for another. On held-out notes of MTS-Dialog's training set 0.5 was best, or within 0.01
macro-F1 of the best, at 30, 100, 300 and 801 notes and with 8 and 16 a class. Beside label
attention on CodiEsp's categories dev MAP was 0.576 without words, and 0.588, 0.590, 0.580 at
0.25, 0.5 and 1."""


def check_lexical(lexical: Any) -> None:  # noqa: ANN401  (whatever was given)
    """Raise `ConfigError` for what is no `Lexical`: it would pass for True, which keeps words."""
    if not isinstance(lexical, bool) and lexical != "hashed":
        raise ConfigError(f"lexical={shown_value(lexical)}; allowed: True, False or 'hashed'")


def fit_lexical(task: Task, notes: Sequence[Note], lexical: Lexical) -> LexicalClassifier:
    """Which words speak for the task's labels in the notes.

    Raises `TaskError` for a task that does not decide notes, or notes that share no word.
    """
    if not isinstance(task, NoteTask):
        raise TaskError(
            f"lexical={lexical!r}: {task.title} does not decide notes as a whole, which is what "
            "words can speak for; leave it out"
        )
    gold = task.gold(notes)
    known = [i for i, own in enumerate(gold) if gold.ndim > 1 or own >= 0]
    weights = task.loss_weights()
    class_weight: Mapping[int, float] | str | None = "balanced"
    if gold.ndim == 1:
        present = np.unique(gold[known]).tolist()
        class_weight = None if weights is None else {i: weights[i] for i in present}
    classifier = LexicalClassifier(
        hashed=lexical == "hashed",
        class_weight=class_weight,
    )
    return classifier.fit(
        [notes[i].text for i in known],
        gold[known],
        # Copies of a note are one: a name in it is no word that several notes share.
        related_notes([notes[i] for i in known]).tolist(),
        descriptions=task.descriptions(),
    )


def lexical_facts(classifier: LexicalClassifier) -> dict[str, Any]:
    """What a saved model tells of its words: counts and settings, none of them."""
    return {
        "terms": len(classifier.idf_),
        "hashed": classifier.hashed,
        "min_notes": classifier.min_notes,
        "weight": classifier.weight,
    }


def lexical_logits(
    classifier: LexicalClassifier, texts: Sequence[str], n_outputs: int
) -> npt.NDArray[np.float32]:
    """What words add to the logits of texts, shape (texts, outputs)."""
    found = classifier.logits(texts)
    if not classifier.multi_label_:
        found = found - found.mean(axis=1, keepdims=True)
    # A label that no note had is no likelier than the least likely of the others.
    every = np.repeat(found.min(axis=1, keepdims=True), n_outputs, axis=1)
    every[:, classifier.classes_] = found
    return (classifier.weight * every).astype(np.float32)


def with_words(
    task: NoteTask,
    classifier: LexicalClassifier,
    notes: Sequence[Note],
    probabilities: npt.NDArray[np.floating],
) -> npt.NDArray[np.float32]:
    """Probabilities, shape (notes, labels), with what the notes' words add to their logits."""
    from scipy.special import expit, logit, softmax

    added = lexical_logits(classifier, [note.text for note in notes], len(task.labels))
    inside = probabilities.clip(1e-7, 1 - 1e-7)
    joined: npt.NDArray[np.float32]
    if task.multi_label:
        joined = expit(logit(inside) + added).astype(np.float32)
    else:
        joined = softmax(np.log(inside) + added, axis=1).astype(np.float32)
    return joined


def weigh_words(
    task: NoteTask,
    classifier: LexicalClassifier,
    dev: Sequence[Note],
    predictions: Sequence[Prediction],
) -> list[Prediction]:
    """Choose what words count by dev notes and a model's predictions of them without words.

    Sets the classifier's `weight`, and gives the predictions with words.
    """
    rows = score_rows(predictions, task.labels.names)
    if rows is None:
        raise TaskError("the predictions lack the scores of some label, so words can't be weighed")
    found: list[tuple[float, float, list[Prediction]]] = []
    for weight in WEIGHTS:
        classifier.weight = weight
        joined = with_words(task, classifier, dev, rows)
        said = [
            # Of a note with nothing to read words say as little as the model.
            task.predicted(own.note_id, row) if has_text(own.text) else before
            for own, row, before in zip(dev, joined, predictions, strict=True)
        ]
        tuned = task.tuned(dev, said)
        score = tuned.evaluate(dev, tuned.decided(dev, said)).summary().get(task.monitor, 0.0)
        found.append((score, weight, said))
    best = found[0]
    for other in found[1:]:
        if other[0] > best[0] + clearly(len(dev)):
            best = other
    _, classifier.weight, chosen = best
    return chosen
