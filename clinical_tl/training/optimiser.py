"""AdamW with separate rates for adapter and head, and its state without pickle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from clinical_tl.network.structure import is_peft

if TYPE_CHECKING:
    from accelerate import Accelerator

    from clinical_tl.network.network import Network
    from clinical_tl.training.config import TrainingConfig

ADAPTER_RATE = 1e-3
FULL_RATE = 1e-4
HEAD_RATE = 1e-3


def build_optimiser(network: Network, config: TrainingConfig) -> torch.optim.AdamW:
    """One group for each of (encoder or adapter, head) × (decayed, not decayed).

    Each group carries its peak rate as `peak`; biases, norms and other vectors don't decay.
    """
    encoder_rate, head_rate = peak_rates(network, config)
    groups: list[dict[str, Any]] = []
    for in_head, rate in ((False, encoder_rate), (True, head_rate)):
        for decays in (True, False):
            parameters = [
                parameter
                for name, parameter in network.trainable().items()
                if network.is_head(name) == in_head and (parameter.ndim > 1) == decays
            ]
            if parameters:
                decay = config.weight_decay if decays else 0.0
                groups.append(
                    {"params": parameters, "lr": rate, "peak": rate, "weight_decay": decay}
                )
    return torch.optim.AdamW(groups, fused=True)


def peak_rates(network: Network, config: TrainingConfig) -> tuple[float, float]:
    """The learning rates of encoder (or adapter) and head at their peak."""
    encoder_rate = config.learning_rate or (ADAPTER_RATE if is_peft(network.model) else FULL_RATE)
    return encoder_rate, config.head_learning_rate or HEAD_RATE


def set_rates(optimiser: torch.optim.Optimizer, step: int, total: int, warmup: float) -> float:
    """Set each group's rate for a step (from 0): linear up, then linear down to 0.

    Returns the share of the peak.
    """
    climb = max(1, round(total * warmup)) if warmup else 0
    falling = max(0.0, (total - step) / max(1, total - climb))
    share = (step + 1) / climb if step < climb else falling
    for group in optimiser.param_groups:
        group["lr"] = group["peak"] * share
    return share


def optimiser_state(
    optimiser: torch.optim.Optimizer, names: Mapping[torch.Tensor, str]
) -> dict[str, torch.Tensor]:
    """The moments as `<parameter>/<moment>` → tensor, for safetensors."""
    return {
        f"{names[parameter]}/{moment}": torch.as_tensor(value).detach().cpu()
        for parameter, moments in optimiser.state.items()
        for moment, value in moments.items()
    }


def restore_optimiser(
    optimiser: torch.optim.Optimizer,
    parameters: Mapping[str, torch.nn.Parameter],
    state: Mapping[str, torch.Tensor],
) -> None:
    """The inverse of `optimiser_state`."""
    for key, value in state.items():
        name, moment = key.rsplit("/", 1)
        parameter = parameters[name]
        # Fused AdamW keeps its step count beside the parameters.
        optimiser.state[parameter][moment] = value.to(parameter.device)


def sum_gradients(accelerator: Accelerator, parameters: Sequence[torch.nn.Parameter]) -> None:
    """Replace each parameter's gradient by its sum over all processes."""
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    flat = accelerator.reduce(flat, reduction="sum")
    pieces = flat.split([gradient.numel() for gradient in gradients])
    for parameter, piece in zip(parameters, pieces, strict=True):
        parameter.grad = piece.view_as(parameter)
