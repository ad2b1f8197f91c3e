"""Where a training run is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class Progress:
    """Where a run is; written into checkpoints as JSON."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    loss_sum: float = 0.0
    loss_weight: float = 0.0
    best_epoch: int = 0
    best_value: float | None = None
    best_loss: float | None = None
    finished: bool = False
    stopped_early: bool = False
    epochs: tuple[dict[str, Any], ...] = ()

    @property
    def mean_loss(self) -> float | None:
        """Of a decision in this epoch so far; `None` where nothing was kept of it."""
        return self.loss_sum / self.loss_weight if self.loss_weight else None
