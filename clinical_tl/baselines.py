"""What a model without pretrained knowledge reaches: the bar that transfer has to clear.

Each baseline emits `Prediction` records, so the task scores them like a model's.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_tl.errors import TaskError
from clinical_tl.schema import LabelScores, Note, Notes, Prediction, Span, as_notes
from clinical_tl.tasks.diagnosis_coding import DiagnosisCoding
from clinical_tl.tasks.note_classification import NoteClassification

if TYPE_CHECKING:
    from clinical_tl.tasks.task import Task

REGULARISATION = 10.0
"""Inverse L2 strength of the TF-IDF classifiers (scikit-learn's `C`)."""


def majority(
    task: NoteClassification | DiagnosisCoding,
    train: Notes | Sequence[Note],
    notes: Notes | Sequence[Note],
) -> list[Prediction]:
    """Every note gets the training notes' frequencies: of labels, or of codes."""
    n = len(train)
    shares = (np.array(task.labels.support) / n).astype(np.float32)
    scores = LabelScores(task.labels.names, shares)
    if isinstance(task, DiagnosisCoding):
        return [Prediction(note.note_id, codes=(), scores=scores) for note in as_notes(notes)]
    label = task.labels.names[int(shares.argmax())]
    return [Prediction(note.note_id, label=label, scores=scores) for note in as_notes(notes)]


def tfidf(
    task: NoteClassification | DiagnosisCoding,
    train: Notes | Sequence[Note],
    notes: Notes | Sequence[Note],
    *,
    dev: Notes | Sequence[Note] | None = None,
) -> tuple[Task, list[Prediction]]:
    """TF-IDF of words and word pairs with L2-regularised logistic regression.

    One multinomial model for classification, one binary model a code (balanced classes) for
    coding, whose threshold is tuned on `dev`. Returns the task with that threshold, and the
    predictions for `notes`.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    train_notes, test_notes = as_notes(train), as_notes(notes)
    vectoriser = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=1)
    features = vectoriser.fit_transform([note.text for note in train_notes])

    def score(some: Sequence[Note]) -> list[np.ndarray]:
        return list(model.scores(vectoriser.transform([note.text for note in some])))

    targets = task.targets(train_notes, [])
    model = _LinearModel(features, targets, len(task.labels), many=task.multi_label)
    if isinstance(task, NoteClassification):
        predictions = [
            Prediction(note.note_id, task.labels.names[int(row.argmax())], scores=scores)
            for note, row in zip(test_notes, score(test_notes), strict=True)
            for scores in [LabelScores(task.labels.names, row)]
        ]
        return task, predictions
    tuned = task
    if dev is not None:
        dev_notes = as_notes(dev)
        untuned = [
            Prediction(note.note_id, codes=(), scores=LabelScores(task.labels.names, row))
            for note, row in zip(dev_notes, score(dev_notes), strict=True)
        ]
        tuned = task.tuned(dev_notes, untuned)
    return tuned, [
        tuned.predicted(note.note_id, row)
        for note, row in zip(test_notes, score(test_notes), strict=True)
    ]


def memorised_mentions(
    train: Notes | Sequence[Note], notes: Notes | Sequence[Note]
) -> list[Prediction]:
    """Marks every string that was mostly a mention in training, longest first.

    A string counts if more than half of its occurrences in the training notes (as whole
    words, case ignored) were annotated; its label is the most frequent one.
    """
    train_notes = as_notes(train)
    labels: dict[str, Counter[str]] = {}
    for note in train_notes:
        for span in note.spans or ():
            if not span.is_discontinuous:
                mention = note.text[span.start : span.end].lower()
                labels.setdefault(mention, Counter())[span.label] += 1
    if not labels:
        raise TaskError("the training notes have no mention to memorise")
    pattern = re.compile(
        r"(?<!\w)(?:"
        + "|".join(map(re.escape, sorted(labels, key=len, reverse=True)))
        + r")(?!\w)",
        re.IGNORECASE,
    )
    occurrences = Counter(
        found[0].lower() for note in train_notes for found in pattern.finditer(note.text)
    )
    chosen = {
        mention: counts.most_common(1)[0][0]
        for mention, counts in labels.items()
        if 2 * counts.total() > occurrences[mention]
    }
    return [
        Prediction(
            note.note_id,
            spans=tuple(
                Span(found.start(), found.end(), chosen[found[0].lower()], score=1.0)
                for found in pattern.finditer(note.text)
                if found[0].lower() in chosen
            ),
        )
        for note in as_notes(notes)
    ]


class _LinearModel:
    """Logistic regression on sparse features: one for all classes, or one a label."""

    def __init__(
        self, features: object, targets: Sequence[Any], n_labels: int, *, many: bool
    ) -> None:
        from sklearn.linear_model import LogisticRegression

        self.n_labels, self.many = n_labels, many
        if not many:
            self.models = [LogisticRegression(C=REGULARISATION, max_iter=1000)]
            self.models[0].fit(features, targets)
            return
        gold = np.zeros((len(targets), n_labels), dtype=bool)
        for row, columns in enumerate(targets):
            gold[row, columns] = True
        self.models = [
            LogisticRegression(C=REGULARISATION, solver="liblinear", class_weight="balanced").fit(
                features, gold[:, column]
            )
            for column in range(n_labels)
        ]

    def scores(self, features: object) -> np.ndarray:
        """Probabilities, shape (notes, labels)."""
        if self.many:
            columns = [model.predict_proba(features)[:, 1] for model in self.models]
            return np.stack(columns, axis=1).astype(np.float32)
        return np.asarray(self.models[0].predict_proba(features), dtype=np.float32)
