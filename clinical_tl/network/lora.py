"""The settings of a LoRA adapter; imports nothing heavy, so that `--help` stays instant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from clinical_tl.errors import ConfigError

Placement = Literal["all", "attention"]


@dataclass(frozen=True)
class LoRA:
    """Low-rank adapters (Hu et al. 2021, arXiv 2106.09685).

    `r` is the rank, `alpha` the scale's numerator (default: 2 r), `dropout` applies to the
    adapter's input. `targets`: the linear layers that get one, `"all"` of every block,
    those of `"attention"`, or names (suffixes) of your own; `layers` limits them to these
    blocks, counted from 0. `dora` decomposes the weights (Liu et al. 2024), `rslora` scales
    by the root of r (Kalajdzievski 2023).
    """

    r: int = 16
    alpha: int | None = None
    dropout: float = 0.0
    targets: Placement | tuple[str, ...] = "all"
    layers: tuple[int, ...] | None = None
    dora: bool = False
    rslora: bool = False

    def __post_init__(self) -> None:
        if self.r < 1 or not 0 <= self.dropout < 1:
            raise ConfigError(
                f"LoRA(r={self.r}, dropout={self.dropout}): r must be at least 1 and dropout "
                "in [0, 1)"
            )
