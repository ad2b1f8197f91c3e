"""Where the encoder and the head are in a transformers model, with or without peft around it."""

from __future__ import annotations

from typing import Any

from torch import nn


def is_peft(model: nn.Module) -> bool:
    """Whether peft wraps the model."""
    # peft also marks the model it wraps with a peft_config, which proves nothing.
    return hasattr(model, "get_base_model")


def base_model(model: nn.Module) -> nn.Module:
    """The encoder inside a transformers model, with or without peft around it."""
    inner: Any = model
    if is_peft(model):
        inner = inner.get_base_model()
    encoder: nn.Module = inner.base_model
    return encoder


def hidden_size(model: nn.Module) -> int:
    """Numbers in a token's state."""
    config: Any = base_model(model).config
    return int(config.hidden_size)


def head_modules(model: nn.Module) -> list[str]:
    """Names of the modules that make up a stock head.

    Read off the structure: every child with parameters that is not the encoder, and the
    encoder's pooler where it has one, which is trained with the head (many published
    encoders come without its weights).
    """
    encoder = base_model(model)
    names = [
        name
        for name, child in model.named_children()
        if child is not encoder and any(True for _ in child.parameters())
    ]
    if getattr(encoder, "pooler", None) is not None:
        prefix = next(name for name, child in model.named_children() if child is encoder)
        names.append(f"{prefix}.pooler")
    return names


def train_head(model: nn.Module) -> None:
    """Make the stock head trainable, weights that it shares with the encoder left out."""
    prefixes = tuple(f"{module}." for module in head_modules(model))
    for name, parameter in model.named_parameters():
        if name.startswith(prefixes):
            parameter.requires_grad_(True)
