"""What only some tasks can do: small protocols, asked for by `isinstance`.

Beside a protocol stands what asks every task for it, with an answer for those without.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from clinical_tl.schema import Note, Prediction

if TYPE_CHECKING:
    from clinical_tl.metrics.note_counts import NoteCounts
    from clinical_tl.tasks.task import Task
    from clinical_tl.text.batches import WindowBatch
    from clinical_tl.text.tokenizer import TokenisedNote

SHARES = frozenset({"share_lost"})
"""What summaries say of the notes' own annotation: no training changes it."""


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
class DescribesLabels(Protocol):
    """What a task adds to the contract where its head may start from what its labels mean."""

    def label_descriptions(self) -> Sequence[str] | None:
        """A text a label; `None` for a head that starts anew."""
        ...


@runtime_checkable
class NamesLabels(Protocol):
    """What a task adds to the contract where notes may have labels that training lacked."""

    def label_names(self) -> Mapping[str, Sequence[str]]:
        """Every label that a note could have, and what it is called; none where nothing says so."""
        ...

    def own_labels(self, note: Note) -> tuple[str, ...]:
        """The note's labels as the task names them."""
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
