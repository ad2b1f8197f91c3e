"""The rungs of the ladder (`transfer.ladder`): ways to solve a task, from free to dear.

Each says what it predicts of notes that it has not seen. Some know nothing but the training
notes, which is what transfer has to beat; others are models that can be kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, cast

import numpy as np

from clinical_tl.estimators.lexical_classifier import NoSharedWordError
from clinical_tl.evaluation import baselines
from clinical_tl.tasks.abilities import ReadsExamples
from clinical_tl.tasks.note_task import NoteTask
from clinical_tl.tasks.unit_task import UnitTask

if TYPE_CHECKING:
    from pathlib import Path

    from clinical_tl.models.feature_model import FeatureModel
    from clinical_tl.models.lexical_part import Lexical
    from clinical_tl.models.transfer_model import TransferModel
    from clinical_tl.network.adapter import Adapter
    from clinical_tl.network.frozen_encoder import FrozenEncoder
    from clinical_tl.rules.rule import Rule
    from clinical_tl.schema import Note, Prediction
    from clinical_tl.tasks.task import Task
    from clinical_tl.training.config import TrainingConfig

Model = TypeVar("Model")
Cost = Literal["free", "frozen", "trained"]
"""No encoder; an encoder that is only read; one that is trained."""


@dataclass(frozen=True)
class Means:
    """What every rung may use."""

    task: Task
    encoder: str | Path
    frozen: FrozenEncoder
    cache: Path
    lexical: Lexical
    adapter: Adapter | None
    config: TrainingConfig
    rules: Sequence[Rule]
    allow_leakage: bool


class Predicts(Protocol):
    """What a rung gives."""

    def predict(self, notes: Any, *, progress: bool = True) -> list[Prediction]:  # noqa: ANN401  (all that as_notes takes)
        """One prediction a note."""
        ...


@dataclass(frozen=True)
class Told:
    """A baseline as something that predicts; nothing that could be saved."""

    tell: Callable[[Sequence[Note]], list[Prediction]]

    def predict(self, notes: Any, *, progress: bool = True) -> list[Prediction]:  # noqa: ANN401  (all that as_notes takes)
        """One prediction a note."""
        del progress
        return self.tell(notes)


Fit = Callable[[Means, Sequence["Note"], "Sequence[Note] | None"], Predicts]


@dataclass(frozen=True)
class Rung:
    """A way to solve a task; `fit` learns it from training and dev notes."""

    name: str
    cost: Cost
    fit: Fit
    is_model: bool = True
    """Whether what it gives is a model that can be saved."""


def rungs_of(task: Task, *, lexical: Lexical, rules: Sequence[Rule]) -> list[Rung]:
    """The rungs for a task, in order of cost."""
    rungs: list[Rung] = []
    if isinstance(task, NoteTask):
        rungs += [
            Rung("majority", "free", _majority, is_model=False),
            Rung("TF-IDF", "free", _tfidf, is_model=False),
        ]
        if not task.multi_label:
            rungs.append(Rung("nearest centroid", "frozen", _centroid, is_model=False))
        rungs.append(Rung("frozen features", "frozen", _frozen))
        if lexical:
            rungs.append(Rung("frozen features and words", "frozen", _frozen_and_words))
    elif isinstance(task, UnitTask):
        rungs.append(Rung("memorised mentions", "free", _memorised, is_model=False))
        if rules:
            rungs.append(Rung("lexicon", "free", _lexicon, is_model=False))
        rungs.append(Rung("frozen features", "frozen", _frozen))
    elif isinstance(task, ReadsExamples):
        rungs.append(Rung("co-occurrence", "free", _cooccurrence, is_model=False))
    words = " and words" if lexical and isinstance(task, NoteTask) else ""
    return [
        *rungs,
        Rung(f"adapter{words}", "trained", _adapter),
        Rung(f"full{words}", "trained", _full),
    ]


def _majority(means: Means, train: Sequence[Note], dev: Sequence[Note] | None) -> Told:
    del dev
    task = cast("NoteTask", means.task)
    return Told(lambda notes: baselines.majority(task, train, notes))


def _tfidf(means: Means, train: Sequence[Note], dev: Sequence[Note] | None) -> Told:
    task = cast("NoteTask", means.task)
    return Told(lambda notes: baselines.tfidf(task, train, notes, dev=dev)[1])


def _memorised(means: Means, train: Sequence[Note], dev: Sequence[Note] | None) -> Told:
    del means, dev
    return Told(lambda notes: baselines.memorised_mentions(train, notes))


def _lexicon(means: Means, train: Sequence[Note], dev: Sequence[Note] | None) -> Told:
    from clinical_tl.rules.matcher import RuleMatcher

    del train, dev
    return Told(RuleMatcher(means.rules).predict)


def _cooccurrence(means: Means, train: Sequence[Note], dev: Sequence[Note] | None) -> Told:
    del dev
    task: Any = means.task
    return Told(lambda notes: baselines.cooccurrence(task, train, notes))


def _centroid(means: Means, train: Sequence[Note], dev: Sequence[Note] | None) -> Told:
    """The label whose notes' mean vector is nearest, by cosine."""
    from clinical_tl.estimators.unit_length import unit_length
    from clinical_tl.network.embeddings import embed

    del dev
    task = cast("NoteTask", means.task)

    def vectors(notes: Sequence[Note]) -> np.ndarray:
        found = embed(means.frozen, notes, cache=means.cache, progress=False)
        return unit_length(found.matrix.astype(np.float64))

    own, gold = vectors(train), task.gold(train)
    classes = np.unique(gold)
    centroids = unit_length(np.stack([own[gold == column].mean(axis=0) for column in classes]))

    def tell(notes: Sequence[Note]) -> list[Prediction]:
        scores = np.zeros((len(notes), len(task.labels)), dtype=np.float32)
        scores[:, classes] = (1 + vectors(notes) @ centroids.T) / 2
        return [task.predicted(n.note_id, row) for n, row in zip(notes, scores, strict=True)]

    return Told(tell)


def _frozen(
    means: Means,
    train: Sequence[Note],
    dev: Sequence[Note] | None,
    *,
    lexical: Lexical = False,
) -> FeatureModel:
    from clinical_tl.models.feature_model import FeatureModel

    return FeatureModel.fit(
        means.frozen,
        cast("NoteTask", means.task),
        train,
        dev,
        cache=means.cache if isinstance(means.task, NoteTask) else None,
        lexical=lexical,
        seed=means.config.seed,
        progress=False,
        allow_leakage=means.allow_leakage,
    )


def _frozen_and_words(
    means: Means, train: Sequence[Note], dev: Sequence[Note] | None
) -> FeatureModel:
    return _with_shared_words(
        lambda lexical: _frozen(means, train, dev, lexical=lexical), means.lexical
    )


def _adapter(means: Means, train: Sequence[Note], dev: Sequence[Note] | None) -> TransferModel:
    return _trained(means, means.adapter, train, dev)


def _full(means: Means, train: Sequence[Note], dev: Sequence[Note] | None) -> TransferModel:
    # The adapter's rates are not those of all weights.
    return _trained(
        replace(means, config=replace(means.config, learning_rate=None)), "full", train, dev
    )


def _trained(
    means: Means, adapter: Adapter | None, train: Sequence[Note], dev: Sequence[Note] | None
) -> TransferModel:
    from clinical_tl.models.transfer_model import TransferModel
    from clinical_tl.training.fitting import fit

    def trained(lexical: Lexical) -> TransferModel:
        model = TransferModel.from_pretrained(
            means.encoder, means.task, adapter=adapter, seed=means.config.seed
        )
        config = replace(means.config, lexical=lexical, progress=False)
        fit(model, train, dev, config, allow_leakage=means.allow_leakage)
        return model

    return _with_shared_words(trained, means.lexical if isinstance(means.task, NoteTask) else False)


def _with_shared_words(fit: Callable[[Lexical], Model], lexical: Lexical) -> Model:
    """With words, unless the notes are so few that they share none that may be kept."""
    try:
        return fit(lexical)
    except NoSharedWordError:
        return fit(False)
