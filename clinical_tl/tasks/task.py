"""What every task is: targets → loss → decode → score, and the facts that others ask it for.

A task knows nothing of optimisers, devices or folders. It says which head it needs, turns
notes into targets, names the decisions in the network's output and their gold, and turns
outputs back into `Prediction` records, which are scored against the notes themselves.

`Task` has a default for whatever most tasks do alike, so that a new task is one file (or one
cell of a notebook) with what is its own; defining the class is enough for models of it to be
trained, reported on, saved, loaded and released. `NoteTask` decides a note as a whole,
`UnitTask` tags its words; what only some tasks can do is a protocol (`abilities`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from clinical_tl.data.contradictions import Contradictions, annotation_of, contradictions
from clinical_tl.data.notes import NotesLike
from clinical_tl.errors import ConfigError, TaskError, shown_value
from clinical_tl.metrics.scores import Scores
from clinical_tl.schema import LabelSet, Note, Prediction

if TYPE_CHECKING:
    import torch

    from clinical_tl.network.encoder import EncoderSource
    from clinical_tl.network.heads import Head, NetworkOutput
    from clinical_tl.network.network import Network
    from clinical_tl.text.batches import WindowBatch
    from clinical_tl.text.tokenizer import NoteTokenizer, TokenisedNote

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

    def decided(self, notes: Sequence[Note], predictions: Sequence[Prediction]) -> list[Prediction]:
        """Predictions of the task `untuned`, as this one has them: its scores, its decisions."""
        del notes
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


def _frozen(value: Any) -> Any:  # noqa: ANN401  (a JSON value)
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
