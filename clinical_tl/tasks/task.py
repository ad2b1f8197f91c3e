"""What every task is: targets → loss → decode → score, and the facts that others ask it for.

A task knows nothing of optimisers, devices or folders. It says which head it needs, turns
notes into targets, names the decisions in the network's output and their gold, and turns
outputs back into `Prediction` records, which are scored against the notes themselves.

`Task` has a default for whatever most tasks do alike, so that a new task is one file (or one
cell of a notebook) with what is its own; defining the class is enough for models of it to be
trained, reported on, saved, loaded and released. `NoteTask` is one that decides a note as a
whole: linear models on features, baselines, rankings of encoders and self-training work for
all of them. What only some tasks can do is a small protocol, asked for by `isinstance`.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self, runtime_checkable

import numpy as np

from clinical_tl.data.contradictions import Contradictions, annotation_of, contradictions
from clinical_tl.data.notes import NotesLike
from clinical_tl.errors import (
    ConfigError,
    TaskError,
    TrainingError,
    shown_id,
    shown_ids,
    shown_value,
)
from clinical_tl.metrics.calibration import at_temperature, dev_temperature
from clinical_tl.metrics.scores import Scores
from clinical_tl.schema import LabelScores, LabelSet, Note, Prediction, score_rows

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch

    from clinical_tl.estimators.feature_classifier import Balance
    from clinical_tl.metrics.note_counts import NoteCounts
    from clinical_tl.network.encoder import EncoderSource
    from clinical_tl.network.heads import Head, NetworkOutput
    from clinical_tl.network.network import Network
    from clinical_tl.text.batches import WindowBatch
    from clinical_tl.text.tag_layers import TagLayers
    from clinical_tl.text.tokenizer import NoteTokenizer, TokenisedNote
    from clinical_tl.text.units import Units, UnitSize


def check_notes(task: Task, train: Sequence[Note], dev: Sequence[Note] | None) -> None:
    """Refuse what can't be trained on; warn, with counts, of labels one side lacks and of copies.

    Copies are notes with one text that are annotated differently (`Task.contradictions`).

    Raises:
        TrainingError: no training notes, or an empty dev set.
        TaskError: notes without annotation; training notes with labels that the task was not
            fitted on.
    """
    if not train:
        raise TrainingError("there are no training notes; give at least one")
    gold = task.gold_labels(train)
    known = set(task.labels)
    unknown = set(gold) - known
    if unknown:
        raise TaskError(
            f"{len(unknown)} labels of the training notes are not the task's: "
            f"{shown_ids(sorted(unknown), 'label')}; fit the task on these notes with from_notes()"
        )
    absent = sorted(known - set(gold))
    if absent:
        logger.warning(
            "%d of the task's %d labels have no training example, e.g. %s",
            len(absent),
            len(task.labels),
            shown_ids(absent, "label"),
        )
    found = task.contradictions(train)
    if found:
        logger.warning("%s, training notes: %s", task.title, found)
    if dev is None:
        return
    if not dev:
        raise TrainingError("the dev set is empty; give dev=None to train without one")
    unseen = {name: n for name, n in task.gold_labels(dev).items() if name not in known}
    if unseen:
        logger.warning(
            "%d labels (%d occurrences) of the dev notes were not seen in training, e.g. %s; "
            "they count as missed",
            len(unseen),
            sum(unseen.values()),
            shown_ids(sorted(unseen), "label"),
        )


logger = logging.getLogger(__name__)

SHARES = frozenset({"share_lost"})
"""What summaries say of the notes' own annotation: no training changes it."""

_CLASSES: dict[str, type[Task]] = {}


@dataclass(frozen=True)
class Task(ABC):
    """One clinical task, fitted on training notes; immutable.

    `labels` are those seen in training. A subclass that names its `kind` is known from then on.
    """

    labels: LabelSet

    kind: ClassVar[str]
    """The name in `task.json`."""
    fields: ClassVar[tuple[str, ...]] = ()
    """The fields of a `Note` that hold its annotation."""
    needs: ClassVar[tuple[str, ...]] = ()
    """The fields of a `Note` that are read beside its text, in prediction too."""
    whole_notes: ClassVar[bool] = True
    """Whether a note is decided as a whole, so that its windows must share a batch."""
    multi_label: ClassVar[bool] = False
    """Whether the outputs are independent (sigmoid) or exclude one another (softmax)."""
    monitor: ClassVar[str]
    """The dev metric that early stopping watches by default; higher is better."""
    nothing: ClassVar[str | None] = None
    """The output that says there is nothing, whatever the labels are."""
    code_system: ClassVar[str | None] = None
    """What its labels are codes of (`data.codes`), where they are."""
    pipeline_tag: ClassVar[str] = "text-classification"
    """What the Hub calls it."""
    example: ClassVar[str] = '["The text of a note."]'
    """What to predict, in a model card: an expression, with the package as `ctl`."""

    def __init_subclass__(cls, **kwargs: Any) -> None:  # noqa: ANN401  (passed on)
        super().__init_subclass__(**kwargs)
        kind = cls.__dict__.get("kind")
        if kind is None:
            return
        known = _CLASSES.get(kind)
        # Run again, a cell of a notebook defines its class anew.
        if known is not None and (known.__module__, known.__qualname__) != (
            cls.__module__,
            cls.__qualname__,
        ):
            raise ConfigError(
                f"{cls.__qualname__}.kind is {kind!r}, which is {known.__qualname__}'s; saved "
                "models are told apart by it: choose another"
            )
        _CLASSES[kind] = cls

    @property
    def title(self) -> str:
        """The task's name in sentences."""
        return self.kind.replace("_", " ")

    def label_title(self, label: str) -> str | None:
        """What a label means, beside its name; `None` where nothing says so."""
        del label
        return None

    @property
    @abstractmethod
    def head_spec(self) -> Head:
        """The head that the network needs."""

    def on_encoder(self, source: EncoderSource) -> Self:
        """The task with what it leaves open settled as suits the encoder."""
        del source
        return self

    @abstractmethod
    def targets(self, notes: Sequence[Note], tokens: Sequence[TokenisedNote]) -> list[Any]:
        """One target a note. Raises `TaskError` for a note that has no annotation."""

    def note_logits(self, output: NetworkOutput, batch: WindowBatch) -> torch.Tensor:
        """The notes' logits, shape (notes, outputs); by default the mean over windows."""
        from clinical_tl.tasks.losses import pool_windows

        if output.states is not None:
            return output.logits
        return pool_windows(output.logits.float(), batch.note_index, batch.n_notes, "mean")

    def decisions(
        self, output: NetworkOutput, batch: WindowBatch, targets: Sequence[Any]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (n, outputs) of what is decided in a batch, and the gold for them.

        `targets` are those of the whole set, by note index. By default they are columns, −1
        where it is unknown, and every note is a decision.
        """
        import torch

        logits = self.note_logits(output, batch)
        return logits, torch.tensor([targets[i] for i in batch.notes], device=logits.device)

    def losses(
        self, logits: torch.Tensor, gold: torch.Tensor, *, label_smoothing: float = 0.0
    ) -> torch.Tensor:
        """The loss of each decision, shape (n,); by default cross-entropy."""
        from torch.nn import functional

        return functional.cross_entropy(
            logits.float(), gold, reduction="none", label_smoothing=label_smoothing
        )

    @property
    def starts_from_probe(self) -> bool:
        """Whether its new head starts from the linear model on frozen features, if not told."""
        return True

    def divergence(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """How far apart two passes' logits of each decision are, shape (n,) (R-Drop)."""
        from clinical_tl.tasks.losses import divergence

        return divergence(first.float(), second.float(), multi_label=self.multi_label)

    def weight(self, target: Any, start: int, stop: int) -> float:  # noqa: ANN401  (each task has targets of its own)
        """How much tokens `start` to `stop` of a note with this target weigh in a batch's mean.

        By default every note counts the same.
        """
        del target, start, stop
        return 1.0

    def collect(
        self, network: Network, output: NetworkOutput, batch: WindowBatch
    ) -> list[tuple[int, Any]]:
        """(note index, what decoding needs of it), for each note or window of the batch.

        By default a note's probabilities, shape (outputs,).
        """
        del network
        logits = self.note_logits(output, batch).float()
        probabilities = logits.sigmoid() if self.multi_label else logits.softmax(dim=-1)
        return list(zip(batch.notes, probabilities.cpu().numpy(), strict=True))

    @abstractmethod
    def decode(self, note: Note, tokens: TokenisedNote, pieces: Sequence[Any]) -> Prediction:
        """The prediction for a note from what was collected of it, in text order."""

    def untuned(self) -> Self:
        """The task without what `tuned` chose, so that its predictions can be tuned on."""
        return self

    def tuned(self, notes: Sequence[Note], predictions: Sequence[Prediction]) -> Self:
        """The task with its temperature and thresholds chosen on development notes, if it has any.

        `predictions` are those of the task without them (`untuned`). Where there is nothing to
        choose them by they are none, whatever they were.
        """
        del notes, predictions
        return self

    def decided(self, predictions: Sequence[Prediction]) -> list[Prediction]:
        """Predictions of the task `untuned`, as this one has them: its scores, its decisions."""
        return list(predictions)

    @abstractmethod
    def gold_labels(self, notes: Sequence[Note]) -> Mapping[str, int]:
        """Gold labels of the notes, as the task names them → how often they occur.

        Raises `TaskError` for a note that has no annotation.
        """

    def contradictions(self, notes: Sequence[Note]) -> Contradictions | None:
        """Notes with one text that are annotated differently; `None` where nothing is compared.

        By default mentions are, where they are the annotation. Relations aren't: their ends have
        names of each note's own.
        """
        if "spans" not in self.fields:
            return None
        return contradictions(notes, lambda note: annotation_of(note, "spans"), offsets=True)

    @abstractmethod
    def evaluate(self, notes: NotesLike, predictions: Sequence[Prediction]) -> Scores:
        """Scores of the predictions, as they are, against the notes' own gold.

        What counts as said is the prediction's `label`, `codes`, `spans` or `relations`, never
        what its scores would decide: corrections and filters after the model are scored.
        """

    def score(
        self,
        notes: Sequence[Note],
        predictions: Sequence[Prediction],
        tokenizer: NoteTokenizer | None,
    ) -> Scores:
        """`evaluate`, for what a model with this tokenizer said (`None`: no model).

        A task whose gold a tokenizer may not be able to hold says how much of it is lost.
        """
        del tokenizer
        return self.evaluate(notes, predictions)

    def output_sources(
        self, output: str, found: Mapping[str, Sequence[str]], known: Collection[str]
    ) -> Sequence[str]:
        """The source model's outputs (of `known`) that `output` starts as the mean of.

        `found` is target label → source labels. Empty for an output that starts anew.
        """
        if output == self.nothing:
            return [output] if output in known else []
        names = found.get(output, ())
        return names if all(name in known for name in names) else []

    def private_problem(self) -> str | None:
        """Why it can't be trained with differential privacy, and the mend; `None` if it can."""
        return None

    @classmethod
    def layout(cls, row: Mapping[str, Any]) -> str | None:
        """How others read the outputs of a task so saved, if by no plain softmax or sigmoid."""
        del row
        return None

    def to_dict(self) -> dict[str, Any]:
        """All of the task as JSON values, for `task.json`."""
        return {"kind": self.kind, **asdict(self)}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        values = {name: _frozen(value) for name, value in row.items() if name != "kind"}
        labels = row["labels"]
        values["labels"] = LabelSet(tuple(labels["names"]), tuple(labels["support"]))
        return cls(**values)


@dataclass(frozen=True)
class NoteTask(Task):
    """A task that decides each note as a whole, by one probability a label.

    `temperature` divides the logits of these, so that they mean what they say (Guo et al. 2017,
    arXiv 1706.04599); it is chosen on dev notes by `tuned`. `None`: they are the model's own.
    """

    temperature: float | None = field(default=None, kw_only=True)

    @abstractmethod
    def predicted(self, note_id: str, probabilities: npt.NDArray[np.float32]) -> Prediction:
        """What `probabilities`, shape (labels,), decide, with them as scores.

        They are taken as they are; a model's own are `scaled` first.
        """

    def scaled(self, probabilities: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A model's own probabilities, shape (…, labels), at the task's temperature, float32.

        Which label of a note is the likeliest does not change, nor of many labels which are above
        one half. They are as they came where there is no temperature.
        """
        if self.temperature is None:
            return probabilities
        rows = probabilities.reshape(-1, probabilities.shape[-1])
        found = at_temperature(rows, self.temperature, one_label=not self.multi_label)
        return found.astype(np.float32).reshape(probabilities.shape)

    def untuned(self) -> Self:
        """The task without a temperature."""
        return replace(self, temperature=None)

    def tuned(self, notes: Sequence[Note], predictions: Sequence[Prediction]) -> Self:
        """The task with its temperature chosen on development notes (`dev_temperature`).

        None where predictions lack the score of some label.
        """
        check_order(notes, predictions)
        rows = score_rows(predictions, self.labels.names)
        if rows is None:
            return replace(self, temperature=None)
        gold = self.gold(notes)
        truth = gold.astype(np.bool_) if gold.ndim > 1 else gold
        return replace(self, temperature=dev_temperature(rows, truth))

    def decided(self, predictions: Sequence[Prediction]) -> list[Prediction]:
        """The predictions with their scores at the task's temperature; labels stay."""
        if self.temperature is None:
            return list(predictions)
        names = self.labels.names
        found = [score_rows([prediction], names) for prediction in predictions]
        return [
            p if row is None else replace(p, scores=LabelScores(names, self.scaled(row[0])))
            for p, row in zip(predictions, found, strict=True)
        ]

    @abstractmethod
    def said(self, prediction: Prediction) -> tuple[str, ...]:
        """The labels that a prediction gives the note."""

    @abstractmethod
    def labelled(self, note: Note, labels: Sequence[str]) -> Note:
        """The note with these labels as its annotation."""

    @abstractmethod
    def gold(self, notes: Sequence[Note]) -> npt.NDArray[np.int64]:
        """The notes' columns, shape (notes,), −1 where unknown; of many labels 0 or 1.

        Those have the shape (notes, labels).
        Raises `TaskError` for a note that has no annotation.
        """

    def decode(self, note: Note, tokens: TokenisedNote, pieces: Sequence[Any]) -> Prediction:
        """What the note's probabilities decide."""
        del tokens
        return self.predicted(note.note_id, self.scaled(pieces[0]))

    def contradictions(self, notes: Sequence[Note]) -> Contradictions:
        """Notes with one text, or nearly one, that have other labels, as the task names them."""
        return contradictions(notes, lambda note: frozenset(self.gold_labels([note])))

    def likely(self, prediction: Prediction, share: float) -> set[str]:
        """The labels that reach `share` of what it takes to be given, where there are many."""
        del prediction, share
        return set()

    def loss_weights(self) -> tuple[float, ...] | None:
        """What a linear model multiplies a label's (positive) losses by; `None`: nothing."""
        return None

    def descriptions(self) -> list[str] | None:
        """What each label means, in words that notes might have; `None` where nothing says so."""
        return None

    @property
    def chooses_weights(self) -> bool:
        """Whether training is to choose what labels weigh."""
        return False

    @property
    def balance(self) -> Balance | Literal["own"] | None:
        """How its labels' weights follow their frequencies; `None` where they weigh the same."""
        return None

    def weighted(self, balance: Balance | None) -> Self:
        """The task with the weights that training chose, by its labels' frequencies."""
        del balance
        return self

    @property
    def shares(self) -> npt.NDArray[np.float32]:
        """How many of the training notes have each label, shape (labels,); equal where unknown."""
        support = np.array(self.labels.support or [1] * len(self.labels), dtype=np.float64)
        shares: npt.NDArray[np.float32] = (support / support.sum()).astype(np.float32)
        return shares

    def unread(self, note_id: str) -> Prediction:
        """No label, and the labels' shares of the training notes as scores."""
        return Prediction(note_id, scores=LabelScores(self.labels.names, self.shares))


class UnitTask(Task):
    """A task that tags the units of a note's text, words or tokens."""

    whole_notes: ClassVar[bool] = False
    pipeline_tag: ClassVar[str] = "token-classification"

    units: UnitSize
    """What tags stand for."""

    @property
    @abstractmethod
    def tag_set(self) -> TagLayers:
        """The tags."""

    @abstractmethod
    def check_targets(self, notes: Sequence[Note], tokens: Sequence[TokenisedNote]) -> None:
        """As `LosesGold`."""

    @abstractmethod
    def unit_log_probabilities(
        self, note: Note, tokens: TokenisedNote, pieces: Sequence[Any]
    ) -> tuple[Units, npt.NDArray[np.float64]]:
        """The note's units, and their tags' log-probabilities, shape (units, outputs)."""

    @abstractmethod
    def doubting(self, least: float) -> Self:
        """The task as a teacher: whatever is a mention with probability `least` is predicted."""

    def unread(self, note_id: str) -> Prediction:
        """No mention."""
        return Prediction(note_id, spans=())


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


def task_class(kind: str) -> type[Task]:
    """The class of a saved task.

    Raises `TaskError` for a kind that no class with that name was defined for yet.
    """
    if kind not in _CLASSES:
        raise TaskError(
            f"there is no task of the kind {shown_value(kind)}; known are {', '.join(_CLASSES)}. "
            "One of your own has to be imported first"
        )
    return _CLASSES[kind]


def task_from_dict(row: Mapping[str, Any]) -> Task:
    """The task that `to_dict` described; raises `TaskError` for a kind that is not known."""
    return task_class(row["kind"]).from_dict(row)


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


def _frozen(value: Any) -> Any:  # noqa: ANN401  (a JSON value)
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
