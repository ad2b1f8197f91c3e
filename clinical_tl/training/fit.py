"""`fit`: train a model on notes, choose by the dev set, tune thresholds there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from clinical_tl.schema import Note, Notes, as_notes
from clinical_tl.training.config import TrainingConfig
from clinical_tl.training.log import TrainingResult
from clinical_tl.training.loop import TrainingRun

if TYPE_CHECKING:
    from clinical_tl.transfer_model import TransferModel


def fit(
    model: TransferModel,
    train: Notes | Sequence[Note],
    dev: Notes | Sequence[Note] | None = None,
    config: TrainingConfig | None = None,
) -> TrainingResult:
    """Train `model` in place and return what happened.

    With `dev` the weights of the best epoch are kept, training stops once it no longer gets
    better (`TrainingConfig.patience`), and a coding model's thresholds are tuned on it.

    Raises:
        TrainingError: no training notes, an empty dev set, or a loss that is not a number.
        TaskError: notes without annotation, or with labels that the task was not fitted on.
        ConfigError: settings that can't work here, or a checkpoint of another run.
    """
    config = config or TrainingConfig()
    train_notes = as_notes(train)
    dev_notes = None if dev is None else as_notes(dev)
    run = TrainingRun(
        model.network, model.task, model.tokenizer, model.windowing, config, train_notes, dev_notes
    )
    result = run.run()
    if dev_notes is not None:
        predictions = model.predict(dev_notes, progress=config.progress)
        model.task = model.task.tuned(dev_notes, predictions)
        model.metrics["dev"] = model.task.evaluate(dev_notes, predictions).summary()
    model.metrics["training"] = {
        **asdict(result),
        "train_notes": len(train_notes),
        "trainable_parameters": model.trainable_parameters,
        "seed": config.seed,
    }
    return result
