"""The training log: one JSON object a line, numbers and ids only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clinical_tl.storage.output import writing
from clinical_tl.storage.replacement import replace_text
from clinical_tl.training.dp import PrivacyReport
from clinical_tl.training.progress import Progress


@dataclass(frozen=True)
class EpochResult:
    """One epoch: mean training loss a decision, dev metrics, seconds.

    Dev notes, if there are any, are read after every epoch, or where few notes make many epochs
    twenty times or more (`training.schedule`); after others there are no dev metrics. The loss is
    `None` in private training, which may not tell it; `dev_loss`, the mean loss of a decision on
    the dev notes, where none are read or nothing in them is decided.
    """

    epoch: int
    loss: float | None
    dev: dict[str, float]
    seconds: float
    dev_loss: float | None = None


@dataclass(frozen=True)
class TrainingResult:
    """What a run did.

    `best_epoch` (from 1) is the one whose weights the model has now: the last, or one that was
    better on dev notes by more than luck; 0 where that is the start, a head from the linear model
    on the encoder as it was. `metric` is the dev metric and `best_value` its value then (`None`
    without a dev set). `seconds` counts the time in training, stops left out; `tokens` those seen,
    padding left out (0 in private training, which may not tell them), `privacy` what such training
    guarantees. `settings` are those of the config that decide what is learned, with what it left
    open as it was chosen: `batch_tokens` are those of an optimiser step.
    """

    epochs: tuple[EpochResult, ...]
    best_epoch: int
    metric: str | None
    best_value: float | None
    steps: int
    tokens: int
    seconds: float
    device: str
    precision: str
    stopped_early: bool
    privacy: PrivacyReport | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


class TrainingLog:
    """Appends to `train_log.jsonl`; after a resume, lines past the checkpoint are dropped.

    Those are the lines of later steps, and of epochs (counted from 1) that were not over.
    """

    def __init__(self, folder: Path | None, *, from_step: int, from_epoch: int = 0) -> None:
        self._path = None if folder is None else folder / "train_log.jsonl"
        if folder is None or self._path is None:
            return
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            text = self._path.read_bytes().decode("utf-8", "replace") if self._path.exists() else ""
        lines = text.splitlines(keepends=True)
        kept = [line for line in lines if _is_before(line, from_step, from_epoch)]
        if kept != lines:
            replace_text(self._path, "".join(kept))

    def write(self, step: int, **values: object) -> None:
        """Add a line."""
        if self._path is not None:
            with writing(self._path), self._path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"step": step, **values}) + "\n")


def _is_before(line: str, step: int, epoch: int) -> bool:
    try:
        row = json.loads(line)
        # A line without its end is one that a kill cut, even where what is there is JSON.
        return line.endswith("\n") and row["step"] <= step and row.get("epoch", 0) <= epoch
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False


def training_result(
    progress: Progress,
    *,
    metric: str | None,
    device: str,
    precision: str,
    privacy: PrivacyReport | None,
    settings: Mapping[str, Any],
) -> TrainingResult:
    """What a finished run did."""
    return TrainingResult(
        epochs=tuple(EpochResult(**epoch) for epoch in progress.epochs),
        best_epoch=progress.best_epoch,
        metric=metric,
        best_value=progress.best_value,
        steps=progress.step,
        tokens=progress.tokens,
        seconds=progress.seconds,
        device=device,
        precision=precision,
        stopped_early=progress.stopped_early,
        privacy=privacy,
        settings=settings,
    )
