"""The settings of differentially private training; imports nothing heavy."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from clinical_tl.errors import ConfigError


@dataclass(frozen=True)
class DP:
    """Differentially private training (DP-SGD; Abadi et al. 2016, arXiv 1607.00133).

    What is protected is one training note: with or without it, the trained weights are
    (ε, δ)-indistinguishable. A patient with k notes has the weaker guarantee of
    `PrivacyReport.for_notes`. Every `fit` on the same notes spends its own ε; they add up, and
    for trainings of one model the report adds them.
    Not protected: what is read off the notes before training starts (how many there are and how
    long, the label names and their counts, class weights, the priors of a coding head and of layers
    of tags), choosing settings by their results, and the dev notes.

    Args:
        target_epsilon: ε after all epochs; smaller is more private, and noisier.
        delta: δ, below 1 / training notes.
        max_grad_norm: each note's gradient is clipped to this norm.
        notes_per_step: notes an optimiser step draws on average. Each note is drawn or not by
            itself (Poisson sampling), as the accountant assumes.
        noise_seed: of the draws and the noise. `None` takes it from the operating system and
            forgets it. A number makes the run repeatable, and whoever knows it can subtract
            the noise: keep it, and the checkpoints, which name it, as secret as the notes.
    """

    target_epsilon: float
    delta: float
    max_grad_norm: float = 1.0
    notes_per_step: int = 16
    noise_seed: int | None = None

    def __post_init__(self) -> None:
        rules = {
            "target_epsilon": (0 < self.target_epsilon < math.inf, "above 0"),
            "delta": (0 < self.delta < 1, "between 0 and 1, both excluded"),
            "max_grad_norm": (0 < self.max_grad_norm < math.inf, "above 0"),
            "notes_per_step": (self.notes_per_step >= 1, "at least 1"),
            "noise_seed": (self.noise_seed is None or self.noise_seed >= 0, "at least 0, or None"),
        }
        wrong = [
            f"{name}={getattr(self, name)!r} (allowed: {allowed})"
            for name, (ok, allowed) in rules.items()
            if not ok
        ]
        # A seed is a secret: it is not repeated.
        if wrong:
            raise ConfigError("DP: " + "; ".join(wrong))


@dataclass(frozen=True)
class PrivacyReport:
    """What a private run guarantees of each training note, and how.

    `epsilon` (at `delta`) is that of all `steps` planned, by Rényi accounting, so an upper
    bound where training stopped early. `noise_multiplier` is the noise's standard deviation
    over `max_grad_norm`, `sample_rate` each note's chance to be drawn in a step. `repeatable`:
    the noise has a given seed, and the guarantee holds against those only who don't know it.
    """

    epsilon: float
    delta: float
    noise_multiplier: float
    max_grad_norm: float
    sample_rate: float
    steps: int
    notes: int
    repeatable: bool
    statement: str

    def after(self, epsilon: float, delta: float) -> PrivacyReport:
        """The report with an earlier training of the same weights added.

        ε and δ add up (Dwork & Roth 2014, theorem 3.16).
        """
        total = self.epsilon + epsilon
        return replace(
            self,
            epsilon=total,
            delta=self.delta + delta,
            statement=(
                f"Over all trainings of these weights: ε = {total:.3g} at δ = "
                f"{self.delta + delta:.3g}. The last of them: {self.statement}"
            ),
        )

    def for_notes(self, k: int) -> tuple[float, float]:
        """(ε, δ) for any k notes together, such as all of one patient's.

        Group privacy (Dwork & Roth 2014, theorem 2.2; with δ: Vadhan 2017, lemma 2.2):
        (k ε, k e^((k−1) ε) δ). Raises `ConfigError` for k below 1.
        """
        if k < 1:
            raise ConfigError(f"for_notes({k}): a group has at least 1 note")
        return k * self.epsilon, k * math.exp((k - 1) * self.epsilon) * self.delta
