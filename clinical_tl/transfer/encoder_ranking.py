"""`rank_encoders`: which encoder will serve a task best, estimated without training any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from clinical_tl.data.notes import NotesLike, as_notes
from clinical_tl.data.ties import related_notes
from clinical_tl.display.table import Table, Tabular
from clinical_tl.errors import ConfigError, NoteError, TaskError
from clinical_tl.estimators.agreement import Agreement, agreement
from clinical_tl.estimators.transferability import h_score, knn_accuracy, leep, log_me
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.network.embeddings import embed, embed_units
from clinical_tl.schema import Note, Prediction
from clinical_tl.tasks.unit_task import UnitTask
from clinical_tl.text.visible import has_text
from clinical_tl.transfer.probe import probe

if TYPE_CHECKING:
    from clinical_tl.models.transfer_model import TransferModel
    from clinical_tl.network.frozen_encoder import FrozenEncoder
    from clinical_tl.schema import Note
    from clinical_tl.tasks.task import Task


def unit_probabilities(
    model: TransferModel, notes: Sequence[Note], *, progress: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """The model's tag probabilities, shape (units, outputs), and the units, shape (units, 3).

    A unit (a word, number or sign) is given as its note's position, start and end. Of several
    layers of tags each has an equal share, so that a unit's probabilities sum to 1.

    Raises `TaskError` for a model that does not tag.
    """
    task = model.task
    if not isinstance(task, UnitTask):
        raise TaskError(f"{type(task).__name__} has no tags; give a model for entity recognition")
    found = model.reader.read(notes, progress=progress)
    rows, keys = [np.zeros((0, len(task.tag_set)))], [np.zeros((0, 3), dtype=np.int64)]
    for i, (note, tokens) in enumerate(zip(notes, found.encoded.windowed.tokens, strict=True)):
        if len(tokens):
            units, logs = task.unit_log_probabilities(note, tokens, found.pieces[i])
            rows.append(np.exp(logs) / len(task.tag_set.sets))
            keys.append(np.stack([np.full(len(units), i), units.starts, units.ends], axis=1))
    return np.concatenate(rows), np.concatenate(keys)


LEAST_NOTES = 10


class SourceClassifier(Protocol):
    """A model trained on the source task; `TransferModel` satisfies it."""

    def predict(self, notes: Sequence[Note]) -> Sequence[Prediction]:
        """One prediction a note, with the probability of every label in `scores`."""
        ...


@dataclass(frozen=True)
class EncoderScores:
    """The estimates for one encoder; higher is better in each.

    `knn` is accuracy (macro average precision for coding), `leep` `None` for an encoder
    without a source classifier. `dimension` is that of its features.
    """

    encoder: str
    dimension: int
    log_me: float
    h_score: float
    knn: float
    leep: float | None


@dataclass(frozen=True, repr=False)
class EncoderRanking(Tabular):
    """What `rank_encoders` finds, encoders in the order they were given.

    Estimates rest on `rows` notes, or units of text for entity recognition, of `notes` notes,
    and on `labels` classes, codes or tags; `labels_left_out` were too rare, `rows_left_out`
    have a label unknown to the task, no visible text, or one that some encoder's tokenizer
    can't show.
    `agreement` ranks by the estimates that every encoder has.
    """

    encoders: tuple[EncoderScores, ...]
    task: str
    notes: int
    rows: int
    rows_left_out: int
    labels: int
    labels_left_out: int
    agreement: Agreement

    def table(self) -> Table:
        """Rows for `format_table`, best encoder first: estimates, each with its rank."""
        rows = []
        for place, position in enumerate(self.agreement.order, start=1):
            scores = self.encoders[position]
            row: dict[str, object] = {"place": place, "encoder": scores.encoder}
            for name in ("log_me", "h_score", "knn", "leep"):
                value = getattr(scores, name)
                if any(getattr(other, name) is not None for other in self.encoders):
                    row[name] = value
                if name in self.agreement.ranks:
                    row[f"{name} rank"] = f"{self.agreement.ranks[name][position]:g}"
            row["mean rank"] = self.agreement.mean_rank[position]
            rows.append(row)
        return Table(rows)

    def agreement_table(self) -> Table:
        """Rows for `format_table`: rank correlations of each pair of estimators."""
        return Table(pair.row() for pair in self.agreement.pairs)


def rank_encoders(
    encoders: Sequence[str | Path | FrozenEncoder],
    notes: NotesLike,
    task: Task,
    *,
    source_models: Mapping[str, SourceClassifier] | None = None,
    max_notes: int = 500,
    max_units: int = 4000,
    k: int = 5,
    layer: int = -1,
    cache: str | Path | None = None,
    seed: int = 0,
    progress: bool = True,
) -> EncoderRanking:
    """Score encoders on annotated notes by LogME, H-score, kNN and, where possible, LEEP.

    Classification and coding use mean token states of notes; for coding each code is a
    problem of its own and an estimate is the mean over codes, those with fewer than 3 notes
    with or without it left out. Entity recognition uses the states of units of text and their
    tags: units inside mentions, and as many outside ones (accuracy would otherwise be that of
    saying "outside"). kNN takes no neighbour from the same patient's notes or from a copy of
    the text: an encoder would be praised for knowing them again. All encoders see the same rows.

    No estimate is right alone: with 600 notes of MTS-Dialog and 20 labels the H-score put an
    encoder with random weights (11.9) before a pretrained one (10.7); LogME and kNN did not.

    Args:
        encoders: at least two: folders, Hub ids, `"offline"`, or encoders already loaded.
        notes: annotated for the task, at least 10; training notes, never test notes.
        task: note classification, diagnosis coding or entity recognition.
        source_models: encoder name → a model trained on a source task with it: a classifier of
            notes, or for entity recognition a `TransferModel` that tags. Its probabilities give
            LEEP, which takes part in the ranking if every encoder has one.
        max_notes: at most so many notes, drawn without replacement.
        max_units: at most so many units, half of them inside mentions.
        k: neighbours of kNN.
        layer: whose states are the features.
        cache: folder to keep the notes' embeddings in (see `embed`).
        seed: of the draws.
        progress: show a progress bar.

    Raises:
        ConfigError: fewer than two encoders or one given twice, source models of other
            encoders or, for entity recognition, that don't tag, settings too small.
        NoteError: fewer than 10 notes.
        TaskError: another task, notes not annotated for it, fewer than two classes, no code
            with enough notes.
        EncoderError: an encoder that can't be found.
    """
    names = [_name(encoder) for encoder in encoders]
    models = dict(source_models or {})
    _check(names, models, task, max_notes, max_units)
    records = as_notes(notes)
    written = sum(has_text(note.text) for note in records)
    if written < LEAST_NOTES:
        raise NoteError(
            f"there are {len(records)} notes, {written} of them with text; allowed: at least "
            f"{LEAST_NOTES} annotated for the task. Give more notes"
        )
    random = np.random.default_rng(seed)
    drawn = np.sort(random.permutation(len(records))[:max_notes])
    given = [records[i] for i in drawn]
    records = [note for note in given if has_text(note.text)]
    asked = probe(task, records, max_units=max_units, random=random)

    features: list[np.ndarray] = []
    present = np.ones(len(asked.targets), dtype=bool)
    said: dict[str, np.ndarray] = {}
    for name, model in models.items():
        if asked.keys is None:
            said[name] = _note_probabilities(
                model, [records[i] for i in asked.note], progress=progress
            )
        elif isinstance(model, TransferModel):
            rows, places = unit_probabilities(model, records, progress=progress)
            at = _positions(places, asked.keys)
            present &= at >= 0
            said[name] = rows[at]
    for encoder in encoders:
        if asked.keys is None:
            chosen = [records[i] for i in asked.note]
            found = embed(encoder, chosen, layer=layer, cache=cache, progress=progress)
            features.append(np.asarray(found.matrix))
            present &= features[-1].any(axis=1)
        else:
            size = task.units if isinstance(task, UnitTask) else "words"
            units = embed_units(encoder, records, layer=layer, size=size, progress=progress)
            at = _positions(np.stack([units.note, units.starts, units.ends], axis=1), asked.keys)
            present &= at >= 0
            features.append(units.matrix[at])

    y, groups = asked.targets[present], related_notes(records)[asked.note[present]]
    scores = []
    for name, matrix in zip(names, features, strict=True):
        rows = matrix[present]
        scores.append(
            EncoderScores(
                encoder=name,
                dimension=rows.shape[1],
                log_me=log_me(rows, y),
                h_score=h_score(rows, y),
                knn=knn_accuracy(rows, y, k=k, groups=groups),
                leep=leep(said[name][present], y) if name in said else None,
            )
        )
    estimates = {
        name: values
        for name in ("log_me", "h_score", "knn", "leep")
        if None not in (values := [getattr(s, name) for s in scores])
    }
    return EncoderRanking(
        encoders=tuple(scores),
        task=task.kind,
        notes=len(records),
        rows=len(y),
        rows_left_out=asked.rows_left_out + int((~present).sum()) + len(given) - len(records),
        labels=y.shape[1] if y.ndim == 2 else len(np.unique(y)),
        labels_left_out=asked.labels_left_out,
        agreement=agreement(estimates),
    )


def _name(encoder: str | Path | FrozenEncoder) -> str:
    return str(encoder) if isinstance(encoder, str | Path) else encoder.source.name


def _check(
    names: Sequence[str],
    models: Mapping[str, SourceClassifier],
    task: Task,
    max_notes: int,
    max_units: int,
) -> None:
    if len(names) < 2 or len(set(names)) < len(names):
        raise ConfigError(
            f"{len(names)} encoders are given, {len(set(names))} of them distinct; allowed: at "
            "least 2 to rank, each once"
        )
    strangers = sorted(set(models) - set(names))
    if strangers:
        raise ConfigError(
            f"source_models names {strangers}, which are not among the encoders {list(names)}"
        )
    taggers = [
        name
        for name, model in models.items()
        if isinstance(model, TransferModel) and isinstance(model.task, UnitTask)
    ]
    wanted = set(models) if isinstance(task, UnitTask) else set[str]()
    if set(taggers) != wanted:
        raise ConfigError(
            f"the source models of {sorted(set(taggers) ^ wanted)} don't decide what {task.title} "
            "does; LEEP for entity recognition needs TransferModels for entity recognition, for "
            "notes a classifier of notes"
        )
    for name, value in (("max_notes", max_notes), ("max_units", max_units)):
        if value < LEAST_NOTES:
            raise ConfigError(f"{name}={value}; allowed: at least {LEAST_NOTES}")


def _note_probabilities(
    model: SourceClassifier, notes: Sequence[Note], *, progress: bool
) -> np.ndarray:
    """The source labels' probabilities, shape (notes, source labels)."""
    if isinstance(model, TransferModel):
        predictions: Sequence[Prediction] = model.predict(notes, progress=progress)
    else:
        predictions = model.predict(notes)
    names = list(predictions[0].scores)
    if not names:
        raise TaskError(
            "the source model gives no probabilities; LEEP needs a note classifier as source"
        )
    return np.array([[p.scores[name] for name in names] for p in predictions])


def _positions(units: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Which of `units` holds the first character of each of `keys`, (note, start, end); −1: none.

    Both are in order; an encoder's tokens may make one unit of several that are asked about.
    """
    width = 1 + max(int(rows[:, 1:].max(initial=0)) for rows in (units, keys))
    starts, asked = units[:, 0] * width + units[:, 1], keys[:, 0] * width + keys[:, 1]
    at = np.searchsorted(starts, asked, side="right") - 1
    holds = (at >= 0) & (units[at, 0] == keys[:, 0]) & (units[at, 2] > keys[:, 1])
    return np.where(holds, at, -1)
