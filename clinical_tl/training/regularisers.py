"""What holds a fine-tuned encoder near its pretrained self."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from clinical_tl.network.network import Network


def starting_point(network: Network) -> dict[str, torch.Tensor]:
    """Copies of the trainable encoder weights (not the head's, not adapters')."""
    return {
        name: parameter.detach().clone()
        for name, parameter in network.trainable().items()
        if not network.is_head(name) and "lora_" not in name
    }


def l2_sp(network: Network, start: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Half the squared distance to the pretrained weights, a scalar.

    L2-SP (Li, Grandvalet & Davoine 2018, arXiv 1802.01483, equation 2). A LoRA layer's
    weights are W0 + s B A, so its distance is ‖s B A‖², computed as s² tr(BᵀB A Aᵀ) without
    forming the product.
    """
    total = torch.zeros((), device=network.device)
    trainable = network.trainable()
    for name, origin in start.items():
        total = total + ((trainable[name] - origin) ** 2).sum()
    module: Any
    for module in network.modules():
        if not hasattr(module, "lora_A") or not hasattr(module, "scaling"):
            continue
        for name, scale in module.scaling.items():
            if name not in module.lora_A:
                continue
            a, b = module.lora_A[name].weight, module.lora_B[name].weight
            total = total + scale**2 * ((b.T @ b) * (a @ a.T)).sum()
    return total / 2
