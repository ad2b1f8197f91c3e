"""Note classification: one label a note, whatever the note's length.

Each window's tokens are pooled and classified; the windows' logits are pooled to the note, in
training as in prediction, and the loss is the note's.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from clinical_tl.data.notes import NotesLike, as_notes
from clinical_tl.data.plausibility import IDS, check_plausible
from clinical_tl.errors import ConfigError, TaskError, shown_id, shown_ids, shown_value
from clinical_tl.metrics.classification import ClassificationScores, classification_scores
from clinical_tl.schema import LabelScores, LabelSet, Note, Prediction
from clinical_tl.tasks.note_task import NoteTask, scores_of_all
from clinical_tl.tasks.task_checks import check_annotated, check_foreign, check_order

if TYPE_CHECKING:
    import torch

    from clinical_tl.estimators.feature_classifier import Balance
    from clinical_tl.metrics.note_counts import NoteCounts
    from clinical_tl.network.encoder import EncoderSource
    from clinical_tl.network.heads import Head, NetworkOutput
    from clinical_tl.network.token_pooling import TokenPooling
    from clinical_tl.tasks.losses import Pooling
    from clinical_tl.text.batches import WindowBatch
    from clinical_tl.text.tokenizer import TokenisedNote

logger = logging.getLogger(__name__)

RARE = 2
# One label a note: the share of notes that are right is micro recall.
_AVERAGES = {"accuracy": "micro_recall", "macro_f1": "macro_f1", "weighted_f1": "weighted_f1"}


@dataclass(frozen=True)
class NoteClassification(NoteTask):
    """One of several labels a note.

    `pooling` says what the head reads of a window: the `"mean"` or `"max"` of its tokens, the
    first one (`"cls"`), or what the architecture's own head reads (`"stock"`, which plain
    transformers and peft load as well); `"auto"` is what suits the encoder
    (`network.token_pooling`). `window_pooling` joins the logits of a long note's windows.
    `class_weights` (one a label, mean 1 over the training notes) multiply a note's loss; with
    `"auto"` training chooses them.
    """

    pooling: TokenPooling | Literal["auto"] = "auto"
    class_weights: tuple[float, ...] | Literal["auto"] | None = None
    window_pooling: Pooling = "mean"

    kind: ClassVar[str] = "note_classification"
    fields: ClassVar[tuple[str, ...]] = ("label",)
    monitor: ClassVar[str] = "macro_f1"

    def __post_init__(self) -> None:
        for name, allowed in (
            ("pooling", ("auto", "mean", "max", "cls", "stock")),
            ("window_pooling", ("mean", "max")),
        ):
            if getattr(self, name) not in allowed:
                raise ConfigError(
                    f"{name} {shown_value(getattr(self, name))}: choose one of {', '.join(allowed)}"
                )
        if self.class_weights not in (None, "auto"):
            _check_weights(self.labels, self.class_weights)

    @classmethod
    def from_notes(
        cls,
        notes: NotesLike,
        *,
        pooling: TokenPooling | Literal["auto"] = "auto",
        window_pooling: Pooling = "mean",
        class_weights: Balance | Literal["auto"] | Mapping[str, float] | None = "auto",
        allow_implausible: bool = False,
    ) -> NoteClassification:
        """Fit the labels on training notes (never on dev or test).

        `class_weights="balanced"` weighs a label by the inverse of its frequency, `"sqrt"` by the
        root of that; a mapping gives each label its own weight, `None` all the same. `"auto"` is
        balanced, unless held-out training notes speak clearly for less (see
        `estimators.FeatureClassifier`). `allow_implausible` takes labels and ids that look
        like text and not like names.

        Raises:
            TaskError: notes without a label, fewer than two labels, labels or ids that look
                like text, or weights that do not name exactly the labels.
        """
        records = as_notes(notes)
        check_annotated(records, "label", "note classification")
        check_plausible(records, "label", *IDS, allow_implausible=allow_implausible)
        labels = LabelSet.fitted(str(note.label) for note in records)
        if len(labels) < 2:
            raise TaskError(
                f"note classification: the {len(records)} training notes have one label only; "
                "at least two are needed"
            )
        rare = sum(n < RARE for n in labels.support)
        if rare:
            logger.warning(
                "note classification: %d of %d labels have a single training note",
                rare,
                len(labels),
            )
        return cls(labels, pooling, _weights(labels, class_weights), window_pooling)

    @property
    def head_spec(self) -> Head:
        """A sequence-classification head."""
        from clinical_tl.network.heads import SequenceHead

        pooling = "stock" if self.pooling == "auto" else self.pooling
        return SequenceHead(self.labels.names, pooling=pooling)

    def on_encoder(self, source: EncoderSource) -> NoteClassification:
        """What of a window suits the encoder, where that is left open."""
        from clinical_tl.network.token_pooling import advised_pooling

        return replace(self, pooling=advised_pooling(source)) if self.pooling == "auto" else self

    def targets(self, notes: Sequence[Note], tokens: Sequence[TokenisedNote]) -> list[int]:
        """The column of each note's label; −1 for a label not seen in training."""
        del tokens
        check_annotated(notes, "label", "note classification")
        positions = self.labels.positions
        return [positions.get(str(note.label), -1) for note in notes]

    def note_logits(self, output: NetworkOutput, batch: WindowBatch) -> torch.Tensor:
        """The windows' logits, pooled as the task says."""
        from clinical_tl.tasks.losses import pool_windows

        return pool_windows(
            output.logits.float(), batch.note_index, batch.n_notes, self.window_pooling
        )

    def losses(
        self, logits: torch.Tensor, gold: torch.Tensor, *, label_smoothing: float = 0.0
    ) -> torch.Tensor:
        """Cross-entropy of each note, each label's part times its class weight, as torch's."""
        from torch.nn import functional

        logits = logits.float()
        weights = self.loss_weights()
        weight = None if weights is None else logits.new_tensor(weights)
        return functional.cross_entropy(
            logits, gold, weight=weight, reduction="none", label_smoothing=label_smoothing
        )

    def weight(self, target: int, start: int, stop: int) -> float:
        """A note counts as its class weight."""
        del start, stop
        weights = self.loss_weights()
        return 1.0 if weights is None else weights[target]

    def predicted(self, note_id: str, probabilities: np.ndarray) -> Prediction:
        """The likeliest label of `probabilities`, shape (labels,)."""
        label = self.labels.names[int(probabilities.argmax())]
        return Prediction(
            note_id, label=label, scores=LabelScores(self.labels.names, probabilities)
        )

    def said(self, prediction: Prediction) -> tuple[str, ...]:
        """The label, where there is one."""
        return () if prediction.label is None else (prediction.label,)

    def labelled(self, note: Note, labels: Sequence[str]) -> Note:
        """The note with the label."""
        return replace(note, label=labels[0])

    def gold(self, notes: Sequence[Note]) -> np.ndarray:
        """The column of each note's label, shape (notes,); −1 for one not seen in training."""
        return np.array(self.targets(notes, []))

    def loss_weights(self) -> tuple[float, ...] | None:
        """The class weights; none while they are to be chosen."""
        return None if self.class_weights == "auto" else self.class_weights

    @property
    def chooses_weights(self) -> bool:
        """Whether training is to choose the class weights."""
        return self.class_weights == "auto"

    @property
    def balance(self) -> Balance | Literal["own"] | None:
        """How the class weights follow the labels' frequencies, or `"own"`."""
        weights = self.loss_weights()
        if weights is None:
            return None
        names: tuple[Balance, ...] = ("balanced", "sqrt")
        return next((name for name in names if self.weighted(name).class_weights == weights), "own")

    def weighted(self, balance: Balance | None) -> NoteClassification:
        """The task with class weights by the frequencies of its labels, where they are known."""
        if not self.labels.support:
            return replace(self, class_weights=None)
        return replace(self, class_weights=_weights(self.labels, balance))

    def gold_labels(self, notes: Sequence[Note]) -> Counter[str]:
        """The notes' labels, with how often they occur."""
        check_annotated(notes, "label", "note classification")
        return Counter(str(note.label) for note in notes)

    def evaluate(self, notes: NotesLike, predictions: Sequence[Prediction]) -> ClassificationScores:
        """Scores of the predictions' labels, as they are, against the notes' own.

        A gold label not seen in training counts as an error, so does a prediction without a
        label. AUROC is of the predictions' scores, where all of them have all labels'.
        """
        records = as_notes(notes)
        check_annotated(records, "label", "note classification")
        check_order(records, predictions)
        gold = [str(note.label) for note in records]
        self._check_labels(gold, predictions)
        return classification_scores(
            gold,
            [prediction.label for prediction in predictions],
            self.labels.names,
            scores_of_all(self, predictions),
        )

    def note_counts(
        self,
        notes: Sequence[Note],
        predictions: Sequence[Prediction],
        *,
        labels: Collection[str] | None = None,
    ) -> NoteCounts:
        """Each note's label found, in gold, predicted; notes of other `labels` count nothing."""
        from clinical_tl.metrics.note_counts import count_labels

        counted = []
        for note, prediction in zip(notes, predictions, strict=True):
            gold, said = str(note.label), prediction.label
            if labels is not None and gold not in labels:
                counted.append((Counter[str](), Counter[str](), Counter[str]()))
                continue
            claimed = Counter([] if said is None else [said])
            counted.append((Counter({gold}) & claimed, Counter([gold]), claimed))
        return count_labels(counted, _AVERAGES, labels=labels)

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> NoteClassification:
        """The inverse of `to_dict`; what was saved before tokens were pooled has the stock head."""
        if "window_pooling" not in row:
            row = {**row, "pooling": "stock", "window_pooling": row["pooling"]}
        return super().from_dict(row)

    def _check_labels(self, gold: Sequence[str], predictions: Sequence[Prediction]) -> None:
        """Refuse predictions that say nothing, or labels of which none is known."""
        if not any(p.label is not None or p.scores for p in predictions):
            raise TaskError(
                f"note classification: none of the {len(predictions)} predictions has a label; "
                "score what a classifier predicts, or what rules say of the notes' labels"
            )
        check_foreign(
            "note classification",
            Counter(p.label for p in predictions if p.label is not None),
            {*self.labels, *gold},
        )


def _weights(
    labels: LabelSet, weights: Balance | Literal["auto"] | Mapping[str, float] | None
) -> tuple[float, ...] | Literal["auto"] | None:
    if weights is None or weights == "auto":
        return weights
    if isinstance(weights, str) and not labels.support:
        # Nobody counted them.
        return None
    total = sum(labels.support)
    # No note is weighed by what a label without any weighs.
    counts = [max(n, 1) for n in labels.support]
    if weights == "balanced":
        return tuple(total / (len(labels) * n) for n in counts)
    if weights == "sqrt":
        weights = {name: n**-0.5 for name, n in zip(labels, counts, strict=True)}
    if not isinstance(weights, Mapping) or set(weights) != set(labels):
        raise TaskError(
            "class_weights must be 'auto', 'balanced', 'sqrt', None, or name exactly the training "
            f"labels "
            f"{shown_ids(labels, 'label', at_most=10)}"
        )
    own = tuple(weights[name] for name in labels)
    # Before they are divided by their mean, which would hide a sign or make NaN of zeros.
    _check_weights(labels, own)
    mean = sum(w * n for w, n in zip(own, labels.support, strict=True)) / total
    return tuple(w / mean for w in own)


def _check_weights(labels: LabelSet, weights: Sequence[object]) -> None:
    """Raise `ConfigError` unless there is one positive finite number a label."""
    if len(weights) != len(labels):
        raise ConfigError(
            f"class_weights has {len(weights)} numbers for {len(labels)} labels; give one a label"
        )
    for name, weight in zip(labels, weights, strict=True):
        number = None if isinstance(weight, bool) or not isinstance(weight, Real) else weight
        if number is None or not 0 < float(number) < inf:
            said = f"a {type(weight).__name__}" if number is None else repr(number)
            raise ConfigError(
                f"class_weights of {shown_id(name, 'label')!r} is {said}; allowed: a number "
                "above 0 and finite. To leave a label out, leave its notes out"
            )
