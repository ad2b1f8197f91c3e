"""Where a new head starts: from the linear model that frozen features alone can carry.

A head of random numbers sends random gradients into the encoder until it has learnt something,
and with few notes that is most of the training (Kumar et al. 2022, arXiv 2202.10054: linear
probing, then fine-tuning). What the head's last layer reads of the training notes is therefore
collected once, the regularised linear model on it becomes that layer, and training goes on from
there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from clinical_tl.data.ties import related_notes
from clinical_tl.display.silence import without_warnings
from clinical_tl.errors import TaskError
from clinical_tl.estimators.feature_classifier import FeatureClassifier
from clinical_tl.schema import Note
from clinical_tl.tasks.note_task import NoteTask
from clinical_tl.tasks.unit_task import UnitTask

if TYPE_CHECKING:
    from clinical_tl.estimators.feature_classifier import Balance, ClassWeight
    from clinical_tl.models.reader import Reader

LARGEST_WEIGHT = 20.0
"""Of a head's start; those of MiniLM's features are below 1."""
MOST_DECISIONS = 5_000
"""Units of text that a tagger's head starts from, about: more say the same."""


@dataclass(frozen=True)
class HeadStart:
    """Weights (outputs, d) and biases (outputs,) of a head's last layer, and how they came about.

    `balance` is the class weighting that was taken.
    """

    weights: npt.NDArray[np.float64]
    biases: npt.NDArray[np.float64]
    balance: Balance | None
    strength: float

    def give(self, reader: Reader) -> None:
        """Let the reader's head start there."""
        layer = reader.network.spec.output_layer(reader.network)
        if layer is None:
            raise TaskError("the head has no linear last layer to start")
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(self.weights))
            layer.bias.copy_(torch.from_numpy(self.biases))


def head_start(reader: Reader, notes: Sequence[Note], *, seed: int = 0) -> HeadStart | None:
    """The linear model on what the head's last layer reads of the notes as the network is now.

    `None` where the head has no such layer, or too little is decided in the notes for a model.
    """
    layer = reader.network.spec.output_layer(reader.network)
    if layer is None:
        return None
    features, tags, groups = _decisions(reader, layer, notes, seed)
    gold: npt.NDArray[Any] = tags
    task, many, block = reader.task, reader.network.spec.multi_label, 1
    if isinstance(task, UnitTask):
        gold = task.tag_set.learnt(tags)
        many, block = gold.ndim > 1, task.tag_set.width
    seen = gold >= 0 if gold.ndim == 1 else np.ones(len(gold), dtype=bool)
    features, gold, groups = features[seen], gold[seen], groups[seen]
    # What a silver note's teacher was unsure of can't be left out of a matrix.
    gold = gold.clip(min=0)
    outputs, width = layer.weight.shape
    if not _are_columns(gold, outputs, many=many) or len(np.unique(groups)) < 2:
        return None
    weight = _class_weight(reader, gold)
    classifier = FeatureClassifier(seed=seed, class_weight=weight, block=block)
    classifier.fit(features, gold, groups.tolist())
    weights = np.zeros((outputs, width))
    # An output that nothing was seen of is no likelier than any other.
    biases = np.full(outputs, classifier.intercept_.min())
    weights[classifier.classes_], biases[classifier.classes_] = (
        classifier.coef_,
        classifier.intercept_,
    )
    # Features that hardly vary have large weights, and small steps then make large logits. What is
    # likeliest does not change.
    calm = min(1.0, LARGEST_WEIGHT / max(float(np.abs(weights).max()), 1e-12))
    weights, biases = calm * weights, calm * biases
    return HeadStart(weights, biases, classifier.balance_, classifier.strength_)


def _are_columns(gold: npt.NDArray[Any], outputs: int, *, many: bool) -> bool:
    """Whether gold is one of the outputs, or 0 and 1 for each, and not all the same.

    A task of one's own may read its outputs otherwise.
    """
    if len(np.unique(gold)) < 2:
        return False
    if gold.ndim == 1:
        return not many and int(gold.max()) < outputs
    return many and gold.shape[1] == outputs


@contextmanager
def _reading_inputs(layer: torch.nn.Linear) -> Iterator[None]:
    """What the layer is given comes out of it, so that logits are features."""
    handle = layer.register_forward_hook(lambda _, inputs, __: inputs[0])
    try:
        yield
    finally:
        handle.remove()


def _decisions(
    reader: Reader, layer: torch.nn.Linear, notes: Sequence[Note], seed: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Features (n, d), gold (n,) or (n, labels), and groups (n,) that folds don't part."""
    related = related_notes(notes)
    features, gold, groups = [], [], []
    # What is lost of the annotation is said where it is trained on, once for all notes.
    with _reading_inputs(layer), without_warnings():
        if isinstance(reader.task, NoteTask):
            for positions, inputs, own in reader.decisions(notes):
                features.append(inputs.numpy())
                gold.append(own.numpy().astype(np.int64))
                groups.append(related[positions])
        else:
            decided = 0
            for position in np.random.default_rng(seed).permutation(len(notes)).tolist():
                for _, inputs, own in reader.decisions([notes[position]]):
                    features.append(inputs.numpy())
                    gold.append(own.numpy().astype(np.int64))
                    groups.append(np.full(len(own), related[position]))
                    decided += len(own)
                if decided >= MOST_DECISIONS:
                    break
    return np.concatenate(features), np.concatenate(gold), np.concatenate(groups)


def _class_weight(reader: Reader, gold: npt.NDArray[np.int64]) -> ClassWeight:
    task = reader.task
    if not isinstance(task, NoteTask):
        return None
    if task.chooses_weights:
        return "auto"
    weights = task.loss_weights()
    if weights is None:
        return None
    if gold.ndim > 1:
        return [{0: 1.0, 1: weight} for weight in weights]
    return {column: weights[column] for column in np.unique(gold).tolist()}
