"""How to train: every setting of `fit`, checked when it is made."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, SupportsFloat, SupportsIndex

from clinical_tl.errors import ConfigError, shown_value
from clinical_tl.network.precision import Precision
from clinical_tl.training.dp import DP

FREE = frozenset({"output_dir", "resume", "progress", "trackers", "checkpoint_steps"})
"""Settings that change what is written or shown, not what is learned."""
TINY, BELOW_1 = sys.float_info.min, math.nextafter(1.0, 0.0)


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of one training run.

    Args:
        epochs: passes over the training notes, at most; `None`: 10, or as many as it takes to
            have `min_steps` optimiser steps (dev notes are then read some twenty times).
        batch_tokens: padded tokens a device sees at once. An optimiser step sees
            `batch_tokens × gradient_accumulation × processes`. `None`: 4,096, or fewer a step
            (down to 512, 256 where notes are very few) for a run to have some thousand steps.
        min_steps: optimiser steps that a run has at least, where `epochs` or `batch_tokens` is
            left open; `patience` counts from then on.
        gradient_accumulation: batches summed before each optimiser step.
        learning_rate: peak rate of encoder or adapter; `None`: 1e-3 for adapters, 1e-4 for
            full fine-tuning.
        head_learning_rate: peak rate of the head; `None`: 1e-3.
        weight_decay: decoupled weight decay (AdamW), not on biases and norms.
        warmup: share of the steps in which the rate climbs linearly; it then falls linearly.
        max_grad_norm: gradients are clipped to this norm.
        precision: `"no"` (fp32), `"bf16"` or `"fp16"` (GPU only) mixed precision; `"auto"`: what
            `accelerate launch` was told, else bf16 where the hardware computes it natively.
        label_smoothing: share of the target spread over the other labels.
        dropout: rate on hidden states; `None`: the encoder's own.
        attention_dropout: rate on attention probabilities; `None`: the encoder's own. Off by
            default: it doubles to triples the time of a step on long windows.
        r_drop: weight of the divergence between two passes with different dropout (Wu et al.
            2021, arXiv 2106.14448); 0: one pass.
        l2_sp: weight of the squared distance to the pretrained weights (Li et al. 2018,
            arXiv 1802.01483); for LoRA, of the squared norm of the update B A.
        metric: dev metric (higher is better) by which an epoch is chosen instead of the last one,
            if it was better by more than luck (of equals that of the lower dev loss, then the
            later); `None`: the task's own.
        head_init: where the head starts: `"probe"`, the regularised linear model on what it reads
            of the training notes before any training (Kumar et al. 2022, arXiv 2202.10054); or
            `"random"`. `"auto"`: from the probe where the head has a linear last layer, is new,
            training is not private, and tags are not in layers.
        lexical: add what the notes' words say (`estimators.LexicalClassifier`) to the logits of a
            task that decides notes as a whole: True keeps a vocabulary of words that three notes
            (of different patients, where they are known) have, in the saved model too; "hashed"
            keeps no word.
        patience: epochs without a better dev metric before training stops; `None`: never, since
            rates that have not come down yet cost more than the epochs: on dev notes of BC5CDR
            0.822 at the epoch that a patience of 2 stops by, 0.839 at the end.
        seed: of order, dropout and everything else drawn in training.
        output_dir: for the training log, checkpoints and trackers; `None`: nothing is written.
        checkpoint_steps: also write a checkpoint every so many steps; `None`: each epoch only.
        resume: go on from the newest checkpoint in `output_dir`, if there is one.
        trackers: names that Accelerate knows, e.g. `("tensorboard",)`; they need an `output_dir`
            (in recipes that of their output).
        progress: show progress bars.
        dp: train with differential privacy (extra `[privacy]`); its `notes_per_step` and
            `max_grad_norm` then take the place of this config's batches and clipping, the
            training loss is not kept, and a step takes a pass a note.

    Raises `ConfigError` that lists every setting out of range.
    """

    epochs: int | None = None
    batch_tokens: int | None = None
    min_steps: int = 400
    gradient_accumulation: int = 1
    learning_rate: float | None = None
    head_learning_rate: float | None = None
    weight_decay: float = 0.01
    warmup: float = 0.1
    max_grad_norm: float = 1.0
    precision: Precision = "auto"
    label_smoothing: float = 0.0
    dropout: float | None = None
    attention_dropout: float | None = 0.0
    r_drop: float = 0.0
    l2_sp: float = 0.0
    metric: str | None = None
    head_init: Literal["auto", "probe", "random"] = "auto"
    lexical: bool | Literal["hashed"] = False
    patience: int | None = None
    seed: int = 0
    output_dir: str | Path | None = None
    checkpoint_steps: int | None = None
    resume: bool = True
    trackers: tuple[str, ...] = ()
    progress: bool = True
    dp: DP | None = None

    def __post_init__(self) -> None:
        rules: dict[str, tuple[bool, str]] = {
            "epochs": (_whole(self.epochs, 1, or_none=True), "a whole number from 1 on, or None"),
            "batch_tokens": (
                _whole(self.batch_tokens, 1, or_none=True),
                "a whole number from 1 on, or None",
            ),
            "min_steps": (_whole(self.min_steps, 0), "a whole number from 0 on"),
            "gradient_accumulation": (
                _whole(self.gradient_accumulation, 1),
                "a whole number from 1 on",
            ),
            "learning_rate": (_number(self.learning_rate, TINY, or_none=True), "above 0, or None"),
            "head_learning_rate": (
                _number(self.head_learning_rate, TINY, or_none=True),
                "above 0, or None",
            ),
            "weight_decay": (_number(self.weight_decay), "at least 0"),
            "warmup": (_number(self.warmup, most=1), "between 0 and 1"),
            "max_grad_norm": (_number(self.max_grad_norm, TINY), "above 0"),
            "precision": (
                self.precision in ("auto", "no", "bf16", "fp16"),
                "'auto', 'no', 'bf16' or 'fp16'",
            ),
            "dp": (
                self.dp is None or (isinstance(self.dp, DP) and self.precision != "fp16"),
                "DP(…), or None, with precision='fp16' None",
            ),
            "label_smoothing": (_number(self.label_smoothing, most=BELOW_1), "in [0, 1)"),
            "dropout": (_number(self.dropout, most=BELOW_1, or_none=True), "in [0, 1), or None"),
            "attention_dropout": (
                _number(self.attention_dropout, most=BELOW_1, or_none=True),
                "in [0, 1), or None",
            ),
            "r_drop": (_number(self.r_drop), "at least 0"),
            "l2_sp": (_number(self.l2_sp), "at least 0"),
            "metric": (self.metric is None or isinstance(self.metric, str), "a name, or None"),
            "head_init": (
                self.head_init in ("auto", "probe", "random")
                and not (self.head_init == "probe" and self.dp is not None),
                "'auto', 'random', or without dp 'probe', which reads the notes without noise",
            ),
            "lexical": (
                (isinstance(self.lexical, bool) or self.lexical == "hashed")
                and not (self.lexical and self.dp is not None),
                "True, False or 'hashed'; False with dp: words are read without noise",
            ),
            "patience": (
                _whole(self.patience, 1, or_none=True),
                "a whole number from 1 on, or None",
            ),
            "seed": (_whole(self.seed, 0), "a whole number from 0 on"),
            "checkpoint_steps": (
                _whole(self.checkpoint_steps, 1, or_none=True),
                "a whole number from 1 on, or None",
            ),
            "trackers": (
                isinstance(self.trackers, tuple | list)
                and all(isinstance(name, str) for name in self.trackers),
                "names in a tuple, such as ('tensorboard',)",
            ),
        }
        wrong = [
            f"{name}={'DP(…)' if name == 'dp' else shown_value(getattr(self, name))} (allowed: "
            f"{allowed})"
            for name, (ok, allowed) in rules.items()
            if not ok
        ]
        if wrong:
            raise ConfigError("TrainingConfig: " + "; ".join(wrong))


def _whole(value: object, least: int, *, or_none: bool = False) -> bool:
    if value is None:
        return or_none
    # A number as text, as YAML has 1e-3, is none; nor is a yes.
    if type(value) is bool or not isinstance(value, SupportsIndex):
        return False
    return value.__index__() >= least


def _number(
    value: object, least: float = 0.0, most: float = sys.float_info.max, *, or_none: bool = False
) -> bool:
    if value is None:
        return or_none
    if type(value) is bool or not isinstance(value, SupportsFloat):
        return False
    return least <= float(value) <= most
