"""What notes must be for training to make sense, checked before anything is computed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from clinical_tl.errors import TaskError, TrainingError, shown_ids
from clinical_tl.schema import Note

if TYPE_CHECKING:
    from clinical_tl.tasks.task import Task

logger = logging.getLogger(__name__)


def check_notes(task: Task, train: Sequence[Note], dev: Sequence[Note] | None) -> None:
    """Refuse what can't be trained on; warn, with counts, of labels one side lacks.

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
