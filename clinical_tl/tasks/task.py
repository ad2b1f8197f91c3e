"""The contract that every task file fulfils: targets → loss → decode → score.

A task knows nothing of optimisers, devices or folders. It says which head it needs, turns
notes into targets, names the decisions in the network's output and their gold, and turns
outputs back into `Prediction` records, which are scored against the notes themselves.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from clinical_tl.errors import TaskError, shown_id, shown_ids
from clinical_tl.schema import LabelSet, Note, Notes, Prediction, score_rows

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch

    from clinical_tl.metrics.note_counts import NoteCounts
    from clinical_tl.models.network import HeadSpec, Network, NetworkOutput
    from clinical_tl.text.batches import WindowBatch
    from clinical_tl.text.tokenizer import TokenisedNote


logger = logging.getLogger(__name__)

SHARES = frozenset({"share_lost"})
"""What summaries say of the notes' own annotation: no training changes it."""


class Scores(Protocol):
    """What every evaluation gives, whatever else it holds."""

    def summary(self) -> dict[str, float]:
        """Metric name → value."""
        ...


class Task(Protocol):
    """One clinical task, fitted on training notes; immutable."""

    kind: ClassVar[str]
    """The name in `task.json`."""
    whole_notes: ClassVar[bool]
    """Whether a note is decided as a whole, so that its windows must share a batch."""
    multi_label: ClassVar[bool]
    """Whether the outputs are independent (sigmoid) or exclude one another (softmax)."""
    monitor: ClassVar[str]
    """The dev metric that early stopping watches by default; higher is better."""

    @property
    def labels(self) -> LabelSet:
        """The labels seen in training."""
        ...

    @property
    def head_spec(self) -> HeadSpec:
        """The head that the network needs."""
        ...

    def targets(self, notes: Sequence[Note], tokens: Sequence[TokenisedNote]) -> list[Any]:
        """One target a note. Raises `TaskError` for a note that has no annotation."""
        ...

    def decisions(
        self, output: NetworkOutput, batch: WindowBatch, targets: Sequence[Any]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (n, outputs) of what is decided in a batch, and the gold for them.

        `targets` are those of the whole set, by note index.
        """
        ...

    def losses(
        self, logits: torch.Tensor, gold: torch.Tensor, *, label_smoothing: float = 0.0
    ) -> torch.Tensor:
        """The loss of each decision, shape (n,)."""
        ...

    def weight(self, target: Any, start: int, stop: int) -> float:  # noqa: ANN401  (each task has targets of its own)
        """How much tokens `start` to `stop` of a note with this target weigh in a batch's mean."""
        ...

    def collect(
        self, network: Network, output: NetworkOutput, batch: WindowBatch
    ) -> list[tuple[int, Any]]:
        """(note index, what decoding needs of it), for each note or window of the batch."""
        ...

    def decode(self, note: Note, tokens: TokenisedNote, pieces: Sequence[Any]) -> Prediction:
        """The prediction for a note from what was collected of it, in text order."""
        ...

    def untuned(self) -> Task:
        """The task without what `tuned` chose, so that its predictions can be tuned on."""
        ...

    def tuned(self, notes: Sequence[Note], predictions: Sequence[Prediction]) -> Task:
        """The task with its thresholds chosen on development notes (where it has any).

        Where there is nothing to choose them by they are none, whatever they were.
        """
        ...

    def decided(self, predictions: Sequence[Prediction]) -> list[Prediction]:
        """Predictions made without thresholds (`untuned`), decided by their scores and these."""
        ...

    def gold_labels(self, notes: Sequence[Note]) -> Mapping[str, int]:
        """Gold labels of the notes, as the task names them → how often they occur.

        Raises `TaskError` for a note that has no annotation.
        """
        ...

    def evaluate(self, notes: Notes | Sequence[Note], predictions: Sequence[Prediction]) -> Scores:
        """Scores of the predictions, as they are, against the notes' own gold.

        What counts as said is the prediction's `label`, `codes`, `spans` or `relations`, never
        what its scores would decide: corrections and filters after the model are scored.
        """
        ...

    def to_dict(self) -> dict[str, Any]:
        """All of the task as JSON values, for `task.json`."""
        ...


@runtime_checkable
class DecidesNotes(Protocol):
    """What a task adds to the contract where its predictions are decisions about notes."""

    def unread(self, note_id: str) -> Prediction:
        """Of a note with nothing to read (blank): nothing decided, shares in training as scores."""
        ...

    def note_counts(
        self,
        notes: Sequence[Note],
        predictions: Sequence[Prediction],
        *,
        labels: Collection[str] | None = None,
    ) -> NoteCounts:
        """What each note adds to the scores that `evaluate` gives; of `labels` alone, if given.

        It checks nothing and says nothing: call it on what `evaluate` has accepted.
        """
        ...


@runtime_checkable
class ReadsExamples(Protocol):
    """What a task adds to the contract where it reads excerpts of notes, not notes.

    The network then sees the examples, each as a note of its own: targets, decisions and
    decoding are theirs, while thresholds and scores stay the notes'.
    """

    def examples(self, notes: Sequence[Note], *, training: bool) -> list[list[Note]]:
        """The examples of each note; in training a sample of them, with their gold."""
        ...

    def joined(self, note: Note, predictions: Sequence[Prediction]) -> Prediction:
        """The prediction for a note from those of all its examples, in their order."""
        ...


@runtime_checkable
class LosesGold(Protocol):
    """What a task adds to the contract where not all gold can be learnt."""

    def check_targets(self, notes: Sequence[Note], tokens: Sequence[TokenisedNote]) -> None:
        """Raise `TaskError` where too much of the training notes' gold can't be learnt."""
        ...


@runtime_checkable
class HidesInputs(Protocol):
    """What a task adds to the contract where its gold is what it hides of the input."""

    def corrupt(self, batch: WindowBatch, targets: Sequence[Any], seed: int) -> WindowBatch:
        """The batch with tokens hidden, the same ones for the same seed, in `hidden_ids`.

        `targets` are those of the whole set, by note index.
        """
        ...

    def hidden(self, targets: Sequence[Any], note: int, start: int, stop: int, seed: int) -> int:
        """How many tokens of the note with this index `corrupt` hides between two, by this seed."""
        ...


def examples_of(task: Task, notes: Sequence[Note], *, training: bool) -> list[list[Note]]:
    """What the network reads of each note: its examples, or the note itself."""
    if isinstance(task, ReadsExamples):
        return task.examples(notes, training=training)
    return [[note] for note in notes]


def join_examples(
    task: Task,
    notes: Sequence[Note],
    examples: Sequence[Sequence[Note]],
    predictions: Sequence[Prediction],
) -> list[Prediction]:
    """One prediction a note from the predictions for all examples, in their order."""
    if not isinstance(task, ReadsExamples):
        return list(predictions)
    remaining = iter(predictions)
    return [
        task.joined(note, list(islice(remaining, len(own))))
        for note, own in zip(notes, examples, strict=True)
    ]


def dev_metrics(task: Task, notes: Sequence[Note]) -> tuple[str, ...]:
    """The metrics that every epoch will have on these development notes, and that can be watched.

    Asked before training, they are what `TrainingConfig.metric` may be: scores that the notes'
    gold defines (AUROC needs two classes, a frequency band codes that are in it), not counts.
    A task that decides nothing about notes has its `monitor`.

    Raises `TaskError` for notes that `evaluate` can't score.
    """
    if not isinstance(task, DecidesNotes):
        return (task.monitor,)
    summary = task.evaluate(notes, [task.unread(note.note_id) for note in notes]).summary()
    return tuple(
        name for name, value in summary.items() if isinstance(value, float) and name not in SHARES
    )


def check_annotated(notes: Sequence[Note], field: str, task: str) -> None:
    """Raise `TaskError` unless there are notes and each has `field` annotated."""
    if not notes:
        raise TaskError(f"{task}: there are no notes; give at least one annotated note")
    missing = [note.note_id for note in notes if getattr(note, field) is None]
    if missing:
        raise TaskError(
            f"{task}: {len(missing)} of {len(notes)} notes have no {field!r} (None means not "
            f"annotated), e.g. {shown_ids(missing)}; leave them out or annotate them"
        )


def unsure(note: Note, name: str) -> Sequence[Any]:
    """What a silver note's teacher was unsure of.

    `name` is `unsure`, of stretches as [start, end], or `unsure_codes`. Raises `TaskError`
    where metadata holds something else there.
    """
    silver = note.metadata.get("silver")
    found = silver.get(name, ()) if isinstance(silver, Mapping) else ()
    kinds = str if name == "unsure_codes" else (list, tuple)
    if not isinstance(found, list | tuple) or not all(isinstance(item, kinds) for item in found):
        raise TaskError(
            f"note {shown_id(note.note_id)!r}: metadata['silver'][{name!r}] is no list of "
            f"{'codes' if kinds is str else '[start, end]'}"
        )
    return found


def scores_of_all(task: Task, predictions: Sequence[Prediction]) -> npt.NDArray[np.float64] | None:
    """The scores of the task's labels, shape (n, labels); `None` where some are not given.

    Metrics of scores are then left out. That is said where some predictions have them and
    others do not.
    """
    names = task.labels.names
    rows = score_rows(predictions, names)
    if rows is None:
        lacking = [p.note_id for p in predictions if score_rows([p], names) is None]
        if len(lacking) < len(predictions):
            logger.warning(
                "%s: %d of %d predictions lack the score of some label, e.g. of the notes %s; "
                "AUROC and ranking metrics are left out",
                task.kind.replace("_", " "),
                len(lacking),
                len(predictions),
                shown_ids(lacking),
            )
    return rows


def check_foreign(task: str, said: Mapping[str, int], known: Collection[str]) -> None:
    """Refuse predictions of which no label is known; warn of those that some are not.

    `said` is label → how often it is predicted, `known` the labels of the task and the notes.
    """
    foreign = {label: n for label, n in said.items() if label not in known}
    if not foreign:
        return
    names = shown_ids(sorted(foreign), "label")
    if len(foreign) == len(said):
        raise TaskError(
            f"{task}: the predictions' labels {names} are neither the task's nor the notes', "
            f"{shown_ids(sorted(known), 'label')}; give both the same names"
        )
    logger.warning(
        "%s: %d predictions of labels that neither the task nor the notes have, %s; they count "
        "as wrong",
        task,
        sum(foreign.values()),
        names,
    )


def check_order(notes: Sequence[Note], predictions: Sequence[Prediction]) -> None:
    """Raise `TaskError` unless there is one prediction a note, in the notes' order."""
    if len(notes) != len(predictions):
        raise TaskError(
            f"there are {len(notes)} notes and {len(predictions)} predictions; give one "
            "prediction a note in the same order"
        )
    for position, (note, prediction) in enumerate(zip(notes, predictions, strict=True)):
        if note.note_id != prediction.note_id:
            raise TaskError(
                f"the prediction at position {position} is of note "
                f"{shown_id(prediction.note_id)!r}, the note there is {shown_id(note.note_id)!r}; "
                "give one prediction a note in the same order"
            )
