"""What a model without pretrained knowledge reaches: the bar that transfer has to clear.

Each baseline emits `Prediction` records, so the task scores them like a model's.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_tl.data.notes import NotesLike, as_notes
from clinical_tl.errors import TaskError
from clinical_tl.schema import LabelScores, Note, Prediction, ScoredRelation, Span
from clinical_tl.tasks.task_checks import check_notes
from clinical_tl.text.scripts import is_blankless

if TYPE_CHECKING:
    from clinical_tl.tasks.note_task import NoteTask
    from clinical_tl.tasks.relation_extraction import RelationExtraction
    from clinical_tl.tasks.task import Task

STRENGTHS = (10.0, 100.0, 1000.0)
"""Inverse L2 strengths (scikit-learn's `C`) that the TF-IDF classifiers are tried with."""


_SENTENCE_END = re.compile(r"[.!?]\s|\n")


def majority(
    task: NoteTask,
    train: NotesLike,
    notes: NotesLike,
) -> list[Prediction]:
    """Every note gets the training notes' frequencies: of labels, or of codes.

    Raises as `tfidf`.
    """
    train_notes = as_notes(train)
    check_notes(task, train_notes, None)
    counts = task.gold_labels(train_notes)
    n_notes = np.array([counts.get(name, 0) for name in task.labels])
    shares = (n_notes / len(train_notes)).astype(np.float32)
    scores = LabelScores(task.labels.names, shares)
    if task.multi_label:
        return [replace(task.unread(note.note_id), scores=scores) for note in as_notes(notes)]
    return [task.predicted(note.note_id, shares) for note in as_notes(notes)]


def tfidf(
    task: NoteTask,
    train: NotesLike,
    notes: NotesLike,
    *,
    dev: NotesLike | None = None,
) -> tuple[Task, list[Prediction]]:
    """TF-IDF of words with L2-regularised logistic regression.

    One multinomial model for classification, one binary model a code (balanced classes) for
    coding. The strength of the regularisation is the one of `STRENGTHS` with the best dev score
    (the task's own metric), and temperature and thresholds are tuned on `dev` too; without it
    the middle one is taken. Word pairs were tried and lost (CodiEsp categories, test MAP
    0.33 with, 0.39 without). A classification task's class weights multiply the loss; where they
    are to be chosen, dev notes choose them too, and without any they are balanced. A code
    that all training notes have, or none, is predicted with probability 1 or 0; a label that
    none has, with 0.

    Returns the task with what was tuned, and the predictions for `notes`.

    Raises:
        TrainingError: no training notes, or an empty dev set.
        TaskError: training notes without annotation, with labels that the task was not fitted
            on, or without a word.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    train_notes, test_notes = as_notes(train), as_notes(notes)
    dev_notes = None if dev is None else as_notes(dev)
    check_notes(task, train_notes, dev_notes)
    # What was tuned was tuned for another model's probabilities.
    task = task.untuned()
    vectoriser = TfidfVectorizer(sublinear_tf=True)
    try:
        features = vectoriser.fit_transform([note.text for note in train_notes])
    except ValueError:
        raise TaskError(
            f"none of the {len(train_notes)} training notes has a word of two characters or more; "
            "there is nothing to learn from"
        ) from None
    targets = task.gold(train_notes)

    def predict(model: _LinearModel, tuned: Any, some: Sequence[Note]) -> list[Prediction]:  # noqa: ANN401  (either task)
        rows = tuned.scaled(model.scores(vectoriser.transform([note.text for note in some])))
        return [tuned.predicted(note.note_id, row) for note, row in zip(some, rows, strict=True)]

    candidates: list[tuple[float, Any, _LinearModel]] = []
    strengths = STRENGTHS if dev_notes else STRENGTHS[len(STRENGTHS) // 2 :][:1]
    for weighted, strength in product(_weighted(task, choose=bool(dev_notes)), strengths):
        model = _LinearModel(weighted, features, targets, strength)
        tuned: Any = weighted
        score = 0.0
        if dev_notes:
            tuned = weighted.tuned(dev_notes, predict(model, weighted, dev_notes))
            dev_predictions = predict(model, tuned, dev_notes)
            scores = tuned.evaluate(dev_notes, dev_predictions).summary()
            # Where dev notes have no code to find, there is no such score: all are alike.
            score = scores.get(task.monitor, 0.0)
        candidates.append((score, tuned, model))
    _, tuned, model = max(candidates, key=lambda candidate: candidate[0])
    return tuned, predict(model, tuned, test_notes)


def _weighted(task: NoteTask, *, choose: bool) -> list[NoteTask]:
    """The task with each class weighting that it may have."""
    from clinical_tl.estimators.feature_classifier import BALANCES

    if not task.chooses_weights:
        return [task]
    return [task.weighted(balance) for balance in (BALANCES if choose else BALANCES[:1])]


def memorised_mentions(train: NotesLike, notes: NotesLike) -> list[Prediction]:
    """Marks every string that was mostly a mention in training, longest first.

    A string counts if more than half of its occurrences in the training notes (as whole
    words where its script sets blanks, case ignored) were annotated; its label is the most
    frequent one.
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
    pattern = _whole_mentions(labels)
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


def _whole_mentions(mentions: Iterable[str]) -> re.Pattern[str]:
    """The longest of the mentions, as whole words where its script sets blanks between them."""
    apart: tuple[list[str], list[str]] = ([], [])
    for mention in sorted(mentions, key=len, reverse=True):
        after = "" if is_blankless(mention[-1]) else r"(?!\w)"
        apart[is_blankless(mention[0])].append(re.escape(mention) + after)
    worded = [rf"(?<!\w)(?:{'|'.join(apart[0])})"] if apart[0] else []
    return re.compile("|".join([*worded, *apart[1]]), re.IGNORECASE)


def cooccurrence(task: RelationExtraction, train: NotesLike, notes: NotesLike) -> list[Prediction]:
    """Relates whatever stands in one sentence, by the label that training gives its types most.

    A candidate counts if its two closest mentions have no sentence end (`.`, `!` or `?` before
    white space, or a line break) between them.
    """
    counts: dict[tuple[str, str], Counter[str]] = {}
    for note in as_notes(train):
        labels = {(r.head, r.tail): r.label for r in note.relations or ()}
        for pair in task.pairs(note):
            label = labels.get((pair.head.id, pair.tail.id))
            if label is not None:
                counts.setdefault((pair.head.label, pair.tail.label), Counter())[label] += 1
    usual = {types: labels.most_common(1)[0][0] for types, labels in counts.items()}
    predictions = []
    for note in as_notes(notes):
        found = []
        for pair in task.pairs(note):
            left, right = sorted(pair.mentions[0], key=lambda span: span.start)
            label = usual.get((pair.head.label, pair.tail.label))
            if label and not _SENTENCE_END.search(note.text, left.end, right.start):
                found.append(ScoredRelation(pair.head.id, pair.tail.id, label, 1.0))
        predictions.append(Prediction(note.note_id, relations=tuple(found)))
    return predictions


class _LinearModel:
    """Logistic regression on sparse features: one for all classes, or one a label."""

    def __init__(
        self,
        task: NoteTask,
        features: object,
        targets: np.ndarray,
        strength: float,
    ) -> None:
        from sklearn.linear_model import LogisticRegression

        self.labels = len(task.labels)
        self.single: Any = None
        self.by_label: list[Any] = []
        self.shares = np.zeros(self.labels)
        if targets.ndim == 1:
            present = np.unique(targets)
            self.shares[present] = 1 / len(present)
            given = task.loss_weights()
            weights = given and {i: given[i] for i in present.tolist()}
            if len(present) > 1:
                self.single = LogisticRegression(C=strength, class_weight=weights, max_iter=1000)
                self.single.fit(features, targets)
            return
        self.shares = targets.mean(axis=0)
        self.by_label = [
            LogisticRegression(C=strength, solver="liblinear", class_weight="balanced").fit(
                features, column
            )
            if 0 < column.mean() < 1
            else None
            for column in targets.T
        ]

    def scores(self, features: Any) -> np.ndarray:  # noqa: ANN401  (sparse arrays are untyped)
        """Probabilities, shape (notes, labels); what nothing told apart has its share."""
        found = np.tile(self.shares.astype(np.float32), (features.shape[0], 1))
        if self.single is not None:
            found[:, self.single.classes_] = self.single.predict_proba(features)
        for column, model in enumerate(self.by_label):
            if model is not None:
                found[:, column] = model.predict_proba(features)[:, 1]
        return found
