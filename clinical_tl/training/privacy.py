"""Differentially private steps: notes drawn by Poisson sampling, clipped gradients, noise.

A note's gradient is computed by itself, from all its windows (and all its examples, where a
task reads excerpts), in as many passes as fit on the device: slower than gradients vectorised
over a batch, but exact for every encoder and head, tied or wrapped weights included. With the
gradients g_i of the drawn notes, C the norm they are clipped to, σ the noise multiplier and L
the notes expected in a step, the optimiser sees (Abadi et al. 2016, algorithm 1)

    (Σ_i g_i · min(1, C / ‖g_i‖) + N(0, σ² C² I)) / L.

Opacus accounts for it (Rényi differential privacy of the sampled Gaussian mechanism, Mironov
et al. 2019, arXiv 1908.10530), for sets that differ in one note being there or not. Noise is
drawn from an ordinary generator in single precision, not a cryptographic one.
"""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from clinical_tl.errors import ConfigError, MissingExtraError, TrainingError
from clinical_tl.training.dp import DP, PrivacyReport
from clinical_tl.training.schedule import EPOCHS
from clinical_tl.training.seeds import mix_seeds

if TYPE_CHECKING:
    from clinical_tl.network.network import Network
    from clinical_tl.schema import Note
    from clinical_tl.tasks.task import Task
    from clinical_tl.text.batches import Item
    from clinical_tl.training.config import TrainingConfig

ACCOUNTANT = "rdp"

_DRAWS, _NOISE, _MASKS = 0, 1, 2


def private_training(
    config: TrainingConfig,
    network: Network,
    task: Task,
    examples: Sequence[Sequence[Note]],
    items: Sequence[Item],
    processes: int,
) -> PrivateTraining | None:
    """The private side of a run; `None` where `config` asks for none.

    Raises:
        MissingExtraError: the extra `[privacy]` is not installed.
        ConfigError: settings, a task or a network that can't be trained privately.
    """
    if config.dp is None:
        return None
    _check(config.dp, network, task, len(examples), processes)
    return PrivateTraining(config.dp, network, examples, items, epochs=config.epochs or EPOCHS)


class PrivateTraining:
    """What a private run draws, adds and reports.

    `examples` are those of each training note, `items` what the network reads of all of them
    in turn.
    """

    def __init__(
        self,
        dp: DP,
        network: Network,
        examples: Sequence[Sequence[Note]],
        items: Sequence[Item],
        *,
        epochs: int,
    ) -> None:
        n_notes = len(examples)
        self.dp, self.network = dp, network
        owners = [number for number, own in enumerate(examples) for _ in own]
        self.owner = [owners[item.note] for item in items]
        self.positions: list[list[int]] = [[] for _ in examples]
        for position, owner in enumerate(self.owner):
            self.positions[owner].append(position)
        self.sample_rate = dp.notes_per_step / n_notes
        self.steps_per_epoch = -(-n_notes // dp.notes_per_step)
        steps = epochs * self.steps_per_epoch
        self.noise_multiplier, epsilon = _calibrate(dp, self.sample_rate, steps)
        self.seed = secrets.randbits(128) if dp.noise_seed is None else dp.noise_seed
        self.report = PrivacyReport(
            epsilon=epsilon,
            delta=dp.delta,
            noise_multiplier=self.noise_multiplier,
            max_grad_norm=dp.max_grad_norm,
            sample_rate=self.sample_rate,
            steps=steps,
            notes=n_notes,
            repeatable=dp.noise_seed is not None,
            statement=_statement(epsilon, dp),
        )

    def plan(self, epoch: int) -> list[list[int]]:
        """Positions in the items, step by step: all those of the notes drawn, maybe none."""
        rng = np.random.default_rng(mix_seeds(self.seed, _DRAWS, epoch))
        drawn = rng.random((self.steps_per_epoch, len(self.positions))) < self.sample_rate
        return [
            [position for note in np.flatnonzero(row) for position in self.positions[note]]
            for row in drawn
        ]

    def set_gradients(
        self,
        batch: Sequence[int],
        step: int,
        backward: Callable[[Sequence[int], int], torch.Tensor],
    ) -> torch.Tensor:
        """Set the gradients of a step and return the drawn notes' mean loss (not private).

        `backward(positions, number)` adds the gradient of one note's loss to the parameters'
        and returns the loss, a scalar; `number` decides its dropout. Masks that depended on
        which other notes were drawn would let one note move the gradients of all.

        Raises `TrainingError` for a note whose gradient is not finite.
        """
        parameters = list(self.network.trainable().values())
        summed = [torch.zeros_like(p) for p in parameters]
        own: dict[int, list[int]] = {}
        for position in batch:
            own.setdefault(self.owner[position], []).append(position)
        loss = torch.zeros((), device=self.network.device)
        for owner, positions in own.items():
            self.network.zero_grad(set_to_none=True)
            loss += backward(positions, mix_seeds(self.seed, _MASKS, owner)) / len(own)
            gradients = [p.grad for p in parameters]
            factor = self._clipping(gradients, step)
            for total, gradient in zip(summed, gradients, strict=True):
                if gradient is not None:
                    total += factor * gradient
        # Noise comes from the CPU: the same on any device. torch's own generator there keeps 32
        # bits of a seed, few enough to try them all.
        generator = np.random.default_rng([self.seed, _NOISE, step])
        scale = self.noise_multiplier * self.dp.max_grad_norm
        for parameter, total in zip(parameters, summed, strict=True):
            drawn = generator.standard_normal(tuple(parameter.shape), dtype=np.float32)
            noise = torch.as_tensor(drawn).to(total)
            parameter.grad = (total + scale * noise) / self.dp.notes_per_step
        return loss

    def _clipping(self, gradients: Sequence[torch.Tensor | None], step: int) -> torch.Tensor:
        norms = [g.norm() for g in gradients if g is not None]
        norm = torch.stack(norms).norm() if norms else torch.zeros(())
        if not bool(torch.isfinite(norm)):
            raise TrainingError(
                f"a note's gradient is not finite at step {step + 1}; lower learning_rate, or "
                "use precision='no'"
            )
        return (self.dp.max_grad_norm / norm.clamp(min=self.dp.max_grad_norm)).to(
            self.network.device
        )


def _check(dp: DP, network: Network, task: Task, n_notes: int, processes: int) -> None:
    wrong = []
    if dp.notes_per_step > n_notes:
        wrong.append(f"notes_per_step={dp.notes_per_step}, but there are {n_notes} training notes")
    if dp.delta >= 1 / n_notes:
        wrong.append(
            f"delta={dp.delta!r} allows to publish a note as it is; with {n_notes} training "
            f"notes it must be below {1 / n_notes:.3g}"
        )
    if processes > 1:
        wrong.append(f"{processes} processes, where noise must be added once; use one")
    mixing = sorted(
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)  # noqa: SLF001  (its only base)
    )
    if mixing:
        wrong.append(
            f"batch normalisation ({', '.join(mixing[:3])}) takes statistics over notes; choose "
            "an encoder without it"
        )
    if problem := task.private_problem():
        wrong.append(problem)
    if wrong:
        raise ConfigError("private training (TrainingConfig.dp): " + "; ".join(wrong))


def _calibrate(dp: DP, sample_rate: float, steps: int) -> tuple[float, float]:
    """The least noise multiplier for the target, and the ε that it gives."""
    try:
        from opacus.accountants import create_accountant
        from opacus.accountants.utils import get_noise_multiplier
    except ImportError as error:
        raise MissingExtraError("opacus", "privacy", "differentially private training") from error
    with warnings.catch_warnings():
        # Said of multipliers tried on the way: the bound at the largest order is a bound too.
        warnings.filterwarnings("ignore", "Optimal order is the", UserWarning)
        try:
            multiplier = get_noise_multiplier(
                target_epsilon=dp.target_epsilon,
                target_delta=dp.delta,
                sample_rate=sample_rate,
                steps=steps,
                accountant=ACCOUNTANT,
                epsilon_tolerance=min(0.01, dp.target_epsilon / 100),
            )
        except ValueError as error:
            raise ConfigError(
                f"target_epsilon={dp.target_epsilon!r} can't be reached at delta={dp.delta!r} "
                f"with {steps} steps that each draw {sample_rate:.1%} of the notes; raise it, or "
                "use fewer epochs, fewer notes_per_step or more notes"
            ) from error
        accountant: Any = create_accountant(ACCOUNTANT)
        accountant.history = [(multiplier, sample_rate, steps)]
        return float(multiplier), float(accountant.get_epsilon(dp.delta))


def _statement(epsilon: float, dp: DP) -> str:
    text = (
        f"Trained with differential privacy (DP-SGD): ε = {epsilon:.3g} at δ = {dp.delta:.3g} for "
        "each training note being there or not. A patient with k notes has (k ε, "
        "k e^((k−1) ε) δ). Not covered: the number of notes, label names and counts (with the "
        "class weights and priors made of them), settings chosen by their results, other models "
        "made of the same notes, a source model's own notes, and the dev notes. Noise came from "
        "an ordinary, not a cryptographic, generator"
    )
    if dp.noise_seed is None:
        return f"{text}, whose seed was not kept."
    return f"{text}, with a given seed: the guarantee holds while that seed is secret."
