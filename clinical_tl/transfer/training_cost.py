"""What a training will cost here: measured on a few notes, told of many.

How long a step takes depends on the processor, the precision, the encoder and the task, so that
no rule of thumb holds; a minute of trying does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_tl.training.schedule import plan_schedule

if TYPE_CHECKING:
    from clinical_tl.schema import Note
    from clinical_tl.training.config import TrainingConfig

TRIED_CHARACTERS, TRIED_EPOCHS = 8_000, 2
READING = 1 / 3
"""What reading a token costs against learning from it: a pass forward, and none back."""


@dataclass(frozen=True)
class TrainingCost:
    """Seconds a token that is learned from, and tokens a character."""

    per_token: float
    tokens: float

    @classmethod
    def measured(
        cls,
        fit: Callable[[Sequence[Note], TrainingConfig], Any],
        notes: Sequence[Note],
        config: TrainingConfig,
    ) -> TrainingCost | None:
        """Of `fit`, which trains a model on notes; `None` where that does not tell its time.

        It is tried on some 8,000 characters of the notes, twice over. Raises whatever it raises.
        """
        some: list[Note] = []
        for place in np.random.default_rng(config.seed).permutation(len(notes)).tolist():
            some.append(notes[place])
            if sum(len(note.text) for note in some) >= TRIED_CHARACTERS and len(some) > 1:
                break
        model = fit(some, replace(config, epochs=TRIED_EPOCHS, min_steps=0))
        told = model.metrics.get("training") or {}
        seconds, tokens = told.get("seconds", 0.0), told.get("tokens", 0)
        if not seconds or not tokens:
            return None
        return cls(seconds / tokens, tokens / TRIED_EPOCHS / _characters(some))

    def seconds(
        self, config: TrainingConfig, train: Sequence[Note], dev: Sequence[Note] | None
    ) -> float:
        """Of learning from notes and reading dev notes as often as the schedule has it."""
        tokens = max(1, round(self.tokens * _characters(train)))
        schedule = plan_schedule(
            config, tokens=tokens, shares=1, steps_at=lambda seen: math.ceil(tokens / seen)
        )
        readings = schedule.epochs / schedule.read_every
        read = readings * self.tokens * _characters(dev or ())
        return self.per_token * (schedule.epochs * tokens + READING * read)


def _characters(notes: Sequence[Note]) -> int:
    return sum(len(note.text) for note in notes)
