"""Setting an encoder's dropout after it was built, whatever its architecture calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def set_dropout(
    network: nn.Module, *, hidden: float | None = None, attention: float | None = None
) -> None:
    """Set the rates of hidden-state and attention dropout; None leaves a rate as it is.

    Attention dropout is the one on attention probabilities. It is read at run time from an
    `nn.Dropout` of the attention module or from a plain number (ModernBERT, Longformer);
    adapters' own dropout is left alone.
    """
    from torch import nn

    for name, module in network.named_modules():
        if "lora_" in name:
            continue
        if isinstance(module, nn.Dropout):
            rate = attention if _on_probabilities(name) else hidden
            if rate is not None:
                module.p = rate
        elif attention is not None:
            for attribute in ("attention_dropout", "dropout"):
                if isinstance(getattr(module, attribute, None), float):
                    setattr(module, attribute, attention)


def _on_probabilities(name: str) -> bool:
    parent = name.rsplit(".", 2)[-2] if name.count(".") else ""
    return name.endswith(".dropout") and parent in {"self", "attention"}
