"""Semi-supervised transfer: a teacher labels unlabelled notes, a student learns from both.

Classic self-training (Scudder 1965; Yarowsky 1995) with what keeps it from feeding on its own
errors: confidence thresholds per class that reach a stated precision on dev notes, quotas
that keep the classes' shares, a stop as soon as dev notes say that a round has not helped,
and a refusal where the unlabelled notes come from elsewhere.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clinical_tl.data.notes import NotesLike, as_notes
from clinical_tl.data.seen_notes import SeenNotes
from clinical_tl.data.ties import related_notes
from clinical_tl.data.traces import text_key
from clinical_tl.display.discreet import Discreet
from clinical_tl.display.table import Table, Tabular
from clinical_tl.errors import ConfigError, NoteError, TaskError
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.saved.evaluations import EVALUATED, set_digest
from clinical_tl.schema import Note
from clinical_tl.storage.processes import on_main_process
from clinical_tl.tasks.note_task import NoteTask
from clinical_tl.text.visible import has_text
from clinical_tl.training.config import TrainingConfig
from clinical_tl.training.fitting import fit
from clinical_tl.transfer.silver_notes import check_self_trainable, select_silver

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

NEIGHBOURS = 3
# Of labelled notes, by definition, a share of 5 % lies farther out than this.
OUTSIDE_QUANTILE = 0.95
LARGEST_SHARE_OUTSIDE = 0.5


@dataclass(frozen=True, eq=False, repr=False)
class SelfTrainingRound(Discreet):
    """One student. Round 0 is the teacher that saw the labelled notes alone.

    `silver` notes with `silver_labels` labels, codes or mentions were added; `value` is the
    dev metric; `thresholds` the confidence asked for, by class.
    """

    number: int
    silver: int
    silver_labels: int
    value: float
    thresholds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, repr=False)
class SelfTrainingResult(Tabular, Discreet):
    """What the rounds gave. The model has the weights of `best_round`.

    `silver` are the notes that its student learned from besides the labelled ones, each with
    its provenance; `dropped` unlabelled notes had no text, or that of a labelled, a dev or
    another unlabelled note;
    `share_outside` of the unlabelled notes lie farther from the labelled ones than those
    from each other.
    """

    rounds: tuple[SelfTrainingRound, ...]
    best_round: int
    metric: str
    silver: tuple[Note, ...]
    dropped: int
    share_outside: float

    def table(self) -> Table:
        """Rows for `format_table`."""
        return Table(
            {
                "round": r.number,
                "silver notes": r.silver,
                "silver labels": r.silver_labels,
                f"dev {self.metric}": r.value,
                "kept": "yes" if r.number == self.best_round else "",
            }
            for r in self.rounds
        )


def self_train(
    model: TransferModel,
    labelled: NotesLike,
    unlabelled: NotesLike | Sequence[str],
    dev: NotesLike,
    config: TrainingConfig | None = None,
    *,
    teacher: TransferModel | None = None,
    student_config: TrainingConfig | None = None,
    rounds: int = 3,
    precision: float = 0.9,
    ratio: float = 2.0,
    allow_dissimilar: bool = False,
    allow_leakage: bool = False,
) -> SelfTrainingResult:
    """Train `model` in place on labelled notes and on what it makes of unlabelled ones.

    The teacher of the first round is the model trained on `labelled`. In each round it labels
    the unlabelled notes; labels whose confidence reaches their class's threshold are taken
    (of codes and mentions each by itself: unsure ones are left out of the loss, taught as
    neither there nor absent); a student that starts from the model's first weights learns from
    labelled and silver notes together, and is the next teacher if dev notes say it is better.
    Otherwise training stops with the best model so far.

    Args:
        model: not trained yet, or trained on a source task.
        labelled: notes annotated for the model's task.
        unlabelled: notes of the same kind without annotation (annotations are not looked at).
        dev: annotated notes that choose epochs, thresholds and rounds. They decide a lot:
            report scores on test notes that they don't contain.
        config: settings of every round; `r_drop` adds the consistency of two passes.
        teacher: a model of the same shape that `fit` has already trained on `labelled` and
            `dev`; saves training it again. It is not changed.
        student_config: settings of the students where they are not the teacher's: they see
            more notes, so fewer epochs take as many steps.
        rounds: students at most.
        precision: wanted of silver labels, as dev notes estimate it.
        ratio: silver labels of a class at most, as a multiple of its labelled ones (for
            entities: silver notes, as a multiple of labelled notes).
        allow_dissimilar: go on where the unlabelled notes seem to come from elsewhere.
        allow_leakage: go on where labelled or unlabelled notes share patients or texts with dev.

    Raises:
        NoteError: there are no unlabelled notes (besides those of labelled and dev), or more
            than half of them lie outside of where the labelled ones are; patients or texts that
            dev notes share with the others.
        ConfigError: rounds below 1, a ratio not above 0, a precision outside (0, 1), a teacher
            of another shape or of other notes.
        TaskError, TrainingError: as `fit`.
    """
    if rounds < 1 or not ratio > 0 or not 0 < precision < 1:
        raise ConfigError(
            f"rounds={rounds}, ratio={ratio}, precision={precision}: rounds must be at least 1, "
            "the ratio above 0, the precision in (0, 1)"
        )
    if not isinstance(model, TransferModel):
        raise ConfigError(
            f"model is a {type(model).__name__}; self-training trains a TransferModel"
        )
    check_self_trainable(model.task)
    config = config or TrainingConfig()
    student_config = student_config or config
    if config.dp is not None or student_config.dp is not None:
        raise ConfigError(
            "self-training reads the labelled notes anew in every round, and teachers label with "
            "what they remember of them, which no single ε tells; train with fit() to have one"
        )
    gold, dev_notes = as_notes(labelled), as_notes(dev)
    pool, dropped = _unseen(as_notes(unlabelled), (*gold, *dev_notes))
    SeenNotes.of([*gold, *pool], dev_notes, allow_leakage=allow_leakage)
    outside = on_main_process(lambda: share_outside(model, gold, pool))
    if outside > LARGEST_SHARE_OUTSIDE and not allow_dissimilar:
        raise NoteError(
            f"{100 * outside:.0f} % of the {len(pool)} unlabelled notes lie farther from the "
            f"labelled ones than {100 * OUTSIDE_QUANTILE:.0f} % of those do from each other: they "
            "seem to come from elsewhere, where a teacher is sure of what it does not know. Give "
            "notes of the same kind, or pass allow_dissimilar=True"
        )
    start, known = _weights(model), dict(model.metrics)
    metric = config.metric or model.task.monitor
    if (student_config.metric or model.task.monitor) != metric:
        raise ConfigError("config and student_config choose by different metrics; name one")
    if teacher is None:
        value = _fit(model, gold, dev_notes, config, 0, allow_leakage=allow_leakage)
    else:
        value = _take_over(model, teacher, gold, dev_notes, metric)
    history = [SelfTrainingRound(0, 0, 0, value)]
    best, best_task, best_weights = 0, model.task, _weights(model)
    best_metrics, best_silver = dict(model.metrics), tuple[Note, ...]()
    for number in range(1, rounds + 1):
        # Two processes that chose otherwise would train on different notes.
        chosen = on_main_process(
            partial(
                select_silver,
                *(model, gold, pool, dev_notes),
                precision=precision,
                ratio=ratio,
                number=number,
            )
        )
        if not chosen.notes:
            logger.warning("round %d: no prediction was sure enough; stopping", number)
            break
        _restore(model, start)
        # As new as the teacher was: its head may start from the probe, too.
        model.metrics = dict(known)
        value = _fit(
            model,
            [*gold, *chosen.notes],
            dev_notes,
            student_config,
            number,
            allow_leakage=allow_leakage,
        )
        history.append(
            SelfTrainingRound(number, len(chosen.notes), chosen.n_labels, value, chosen.thresholds)
        )
        if not value > history[best].value:
            break
        best, best_task, best_weights = number, model.task, _weights(model)
        best_metrics, best_silver = dict(model.metrics), chosen.notes
    _restore(model, best_weights)
    model.task = best_task
    result = SelfTrainingResult(tuple(history), best, metric, best_silver, dropped, outside)
    model.metrics = {**best_metrics, "self_training": _summary(result)}
    return result


def share_outside(
    model: TransferModel, labelled: Sequence[Note], unlabelled: Sequence[Note]
) -> float:
    """The share of unlabelled notes that lie farther out than nearly all labelled ones.

    How far out a note lies is the mean cosine distance to its three nearest labelled notes, in
    the encoder the model starts from. Of a labelled note those of its own patient or text don't
    count: so near lie only notes of patients that are known.

    Raises `TaskError` where fewer than three labelled notes are left to compare one with.
    """
    from clinical_tl.estimators.nearest_nodes import cosine_distances

    inside, pool = (
        model.embed_texts([note.text for note in notes]).cpu().numpy()
        for notes in (labelled, unlabelled)
    )
    # A note without a token is nowhere.
    written = inside.any(axis=1)
    inside, units = inside[written], related_notes(labelled)[written]
    largest = int(np.bincount(units).max(initial=0))
    if len(inside) - largest < NEIGHBOURS:
        raise TaskError(
            f"{len(inside)} labelled notes, {largest} of them of one patient or text, can't say "
            f"what they are like; give at least {NEIGHBOURS} more of others"
        )
    among = cosine_distances(inside, inside)
    # A note without a token is nowhere, so outside of where the labelled ones are.
    found = pool[pool.any(axis=1)]
    among[units[:, None] == units] = np.inf
    limit = np.quantile(_nearest_mean(among), OUTSIDE_QUANTILE)
    near = int((_nearest_mean(cosine_distances(found, inside)) <= limit).sum()) if len(found) else 0
    return 1 - near / len(pool)


def _nearest_mean(distances: np.ndarray) -> np.ndarray:
    nearest: np.ndarray = np.sort(distances, axis=1)[:, :NEIGHBOURS].mean(axis=1)
    return nearest


def _unseen(pool: Sequence[Note], known: Sequence[Note]) -> tuple[list[Note], int]:
    """The pool's notes with a text of their own, none of the known ones'; ids made distinct."""
    texts = {text_key(note.text) for note in known}
    kept = []
    for note in pool:
        key = text_key(note.text)
        if has_text(note.text) and key not in texts:
            texts.add(key)
            kept.append(note)
    if not kept:
        raise NoteError(
            f"of {len(pool)} unlabelled notes none has a text that the labelled and dev notes "
            "don't have; give other unlabelled notes"
        )
    taken = {note.note_id for note in known}
    distinct = []
    for note in kept:
        note_id = note.note_id
        while note_id in taken:
            note_id = f"unlabelled-{note_id}"
        taken.add(note_id)
        distinct.append(note if note_id == note.note_id else replace(note, note_id=note_id))
    return distinct, len(pool) - len(kept)


def _fit(
    model: TransferModel,
    train: Sequence[Note],
    dev: Sequence[Note],
    config: TrainingConfig,
    number: int,
    *,
    allow_leakage: bool,
) -> float:
    """Train one round, in a folder of its own; the dev metric."""
    if config.output_dir is not None:
        config = replace(config, output_dir=Path(config.output_dir) / f"round-{number}")
    result = fit(model, train, dev, config, allow_leakage=allow_leakage)
    return float(result.best_value or 0.0)


def _take_over(
    model: TransferModel,
    teacher: TransferModel,
    labelled: Sequence[Note],
    dev: Sequence[Note],
    metric: str,
) -> float:
    """Give the model a fitted teacher's weights, thresholds and record; its dev metric."""
    training = teacher.metrics.get("training", {})
    seen = (
        training.get("notes_sha256"),
        teacher.metrics.get(EVALUATED, {}).get("dev", {}).get("sha256"),
        training.get("metric"),
    )
    if seen != (set_digest(labelled), set_digest(dev), metric):
        raise ConfigError(
            f"the teacher was not trained on these labelled notes and chosen by {metric} on these "
            "dev notes, so its rounds could not be compared; fit it on them, or leave it out"
        )
    weights = _weights(teacher)
    shapes, own = ({name: w.shape for name, w in x.items()} for x in (weights, _weights(model)))
    same_encoder = teacher.source.sha256 == model.source.sha256
    task = model.task.untuned()
    if isinstance(task, NoteTask) and task.chooses_weights and isinstance(teacher.task, NoteTask):
        balance = teacher.task.balance
        task = task if balance == "own" else task.weighted(balance)
    if shapes != own or not same_encoder or teacher.task.untuned() != task:
        raise ConfigError(
            "the teacher has another task, encoder or adapter than the model that is to learn "
            "from it; make both with the same TransferModel.from_pretrained(...)"
        )
    _restore(model, weights)
    model.task, model.metrics, model.seen = teacher.task, dict(teacher.metrics), teacher.seen
    return float(training["best_value"])


def _weights(model: TransferModel) -> dict[str, torch.Tensor]:
    return {name: p.detach().cpu().clone() for name, p in model.network.trainable().items()}


def _restore(model: TransferModel, weights: dict[str, torch.Tensor]) -> None:
    import torch

    with torch.no_grad():
        for name, parameter in model.network.trainable().items():
            parameter.copy_(weights[name])


def _summary(result: SelfTrainingResult) -> dict[str, object]:
    return {
        "rounds": [
            {"round": r.number, "silver": r.silver, result.metric: r.value} for r in result.rounds
        ],
        "best_round": result.best_round,
        "share_outside": result.share_outside,
        "dropped": result.dropped,
    }
