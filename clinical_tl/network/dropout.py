"""An encoder's dropout in training, whatever its architecture calls it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


@contextmanager
def dropout(
    network: nn.Module, *, hidden: float | None = None, attention: float | None = None
) -> Iterator[None]:
    """Within, the rates of hidden-state and attention dropout; None leaves a rate as it is.

    Attention dropout is the one on attention probabilities. It is read at run time from an
    `nn.Dropout` of the attention module or from a plain number (ModernBERT, Longformer);
    adapters' own dropout is left alone. The rates are put back at the end, so that another
    training starts from the encoder's own.
    """
    from torch import nn

    before: list[tuple[nn.Module, str, float]] = []

    def put(module: nn.Module, attribute: str, rate: float) -> None:
        before.append((module, attribute, getattr(module, attribute)))
        setattr(module, attribute, rate)

    modules = {name: m for name, m in network.named_modules() if "lora_" not in name}
    for name, module in modules.items():
        if isinstance(module, nn.Dropout):
            rate = attention if _on_probabilities(name, modules) else hidden
            if rate is not None:
                put(module, "p", rate)
        elif attention is not None:
            for attribute in ("attention_dropout", "dropout"):
                if isinstance(getattr(module, attribute, None), float):
                    put(module, attribute, attention)
    try:
        yield
    finally:
        for module, attribute, rate in reversed(before):
            setattr(module, attribute, rate)


def _on_probabilities(name: str, modules: dict[str, nn.Module]) -> bool:
    path, _, leaf = name.rpartition(".")
    if leaf == "attention_dropout":
        return True
    parent = path.rpartition(".")[2]
    if leaf != "dropout":
        return False
    # MPNet's "attention" holds the module that has the probabilities, and drops its output.
    return parent in ("self", "attn") or (parent == "attention" and f"{path}.attn" not in modules)
