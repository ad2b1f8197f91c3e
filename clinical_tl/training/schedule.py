"""How often the notes are passed over and how much an optimiser step sees of them.

Ten passes of 4,096 tokens a step are four steps for ten notes: nothing is learnt. Where notes
are few, steps first see less each, then there are more passes, until there are enough steps. Up
to some thousand steps smaller ones are better, and cost no more: a pass reads the same tokens.
Chosen on NCBI-disease, seed 0, F1 on dev notes that chose nothing: with 30 abstracts 0.431 for 100
steps, 0.462 for 170 of 512 tokens, 0.533 for 400 of 256.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clinical_tl.training.config import TrainingConfig

logger = logging.getLogger(__name__)

EPOCHS, BATCH_TOKENS = 10, 4096
"""What `TrainingConfig` means by `None` where notes are many."""
ENOUGH_STEPS, SMALL_TOKENS = 2000, 512
"""Steps see less, but not less than the latter, while there are fewer than the former."""
LEAST_TOKENS = 256
"""A step never sees less by itself: gradients of single sentences are noise."""
READINGS = 20
"""Epochs that follow from `min_steps` are read dev notes after, and kept as checkpoints, so often:
of ten notes four hundred epochs have a step or two each, and a hundred dev notes would cost more
than all the training."""
SHORT_RUN = 50
"""Below so many optimiser steps new weights have hardly moved."""


@dataclass(frozen=True)
class Schedule:
    """`epochs` passes; `step_tokens` tokens an optimiser step, over all devices.

    Dev notes are read, and a checkpoint is written, after every `read_every` epochs and the last.
    """

    epochs: int
    step_tokens: int
    read_every: int = 1

    def is_read(self, epoch: int) -> bool:
        """Whether the dev notes are read after this epoch, counted from 1."""
        return epoch % self.read_every == 0 or epoch == self.epochs


def plan_schedule(
    config: TrainingConfig,
    *,
    tokens: int,
    shares: int,
    steps_at: Callable[[int], int],
) -> Schedule:
    """The schedule for training notes of `tokens` tokens, dealt into `shares` shares a step.

    `steps_at` tells how many steps a pass has for a number of tokens a step. What the config
    says itself is never changed; `None` in it is chosen such that there are at least
    `config.min_steps` steps, but for private training, whose steps are paid for by count.
    """
    epochs = EPOCHS if config.epochs is None else config.epochs
    step_tokens = (config.batch_tokens or BATCH_TOKENS) * shares
    if config.dp is not None:
        return Schedule(epochs, step_tokens)
    if config.batch_tokens is None:
        step_tokens = min(step_tokens, max(SMALL_TOKENS, tokens * epochs // ENOUGH_STEPS))
    if config.batch_tokens is None and epochs * steps_at(step_tokens) < config.min_steps:
        wanted = math.ceil(config.min_steps / epochs)
        step_tokens = min(step_tokens, max(LEAST_TOKENS, tokens // wanted))
    if config.epochs is None:
        epochs = max(epochs, math.ceil(config.min_steps / max(steps_at(step_tokens), 1)))
        return Schedule(epochs, step_tokens, max(1, epochs // READINGS))
    return Schedule(epochs, step_tokens)


def warn_of_short_run(steps: int, config: TrainingConfig) -> None:
    """Say that a run has hardly any steps, and which settings made it so."""
    if steps >= SHORT_RUN:
        return
    told = [n for n in ("epochs", "batch_tokens") if getattr(config, n) is not None]
    logger.warning(
        "training has %d optimiser steps only, in which new weights hardly move; %s",
        steps,
        f"leave out {' and '.join(told)} to have as many as are needed, or give more epochs"
        if told
        else "raise min_steps, or give more notes",
    )
