"""Refusals and warnings before a task is trained on notes, or its predictions are scored."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from clinical_tl.errors import TaskError, TrainingError, shown_id, shown_ids
from clinical_tl.schema import Note, Prediction

if TYPE_CHECKING:
    from clinical_tl.tasks.task import Task

logger = logging.getLogger(__name__)

ROUNDING = 1e-6
"""Of probabilities in single precision that are added up."""


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


def check_annotated(notes: Sequence[Note], field: str, task: str) -> None:
    """Raise `TaskError` unless there are notes and each has `field` annotated.

    With labels that are not blank, and within its text.
    """
    if not notes:
        raise TaskError(f"{task}: there are no notes; give at least one annotated note")
    missing = [note.note_id for note in notes if getattr(note, field) is None]
    if missing:
        raise TaskError(
            f"{task}: {len(missing)} of {len(notes)} notes have no {field!r} (None means not "
            f"annotated), e.g. {shown_ids(missing)}; leave them out or annotate them"
        )
    blank = [note.note_id for note in notes if not all(map(str.strip, _labels(note, field)))]
    if blank:
        raise TaskError(
            f"{task}: {len(blank)} notes have a blank label, e.g. {shown_ids(blank)}; name it, or "
            "take it out"
        )
    if field == "spans":
        beyond = [n.note_id for n in notes if any(s.end > len(n.text) for s in n.spans or ())]
        if beyond:
            raise TaskError(
                f"{task}: {len(beyond)} of {len(notes)} notes have spans that end beyond their "
                f"text, e.g. {shown_ids(beyond)}; offsets are characters of the note's own text"
            )


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


def check_scores(predictions: Sequence[Prediction]) -> None:
    """Raise `TaskError` for mentions or relations with a score that is no probability."""
    for prediction in predictions:
        for name in ("spans", "relations"):
            for found in getattr(prediction, name) or ():
                score = getattr(found, "score", None)
                if score is not None and not 0 <= score <= 1 + ROUNDING:
                    raise TaskError(
                        f"the prediction of note {shown_id(prediction.note_id)!r} has {name} with "
                        f"the score {score:g}; allowed: from 0 to 1, or none (score=None) "
                        "where it is no probability"
                    )


def _labels(note: Note, field: str) -> Iterator[str]:
    value = getattr(note, field)
    for found in (value,) if field == "label" or isinstance(value, str) else value:
        yield str(getattr(found, "label", found))
