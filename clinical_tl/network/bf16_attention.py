"""Attention for training in bf16 on a processor: the gradients of torch's own are slow there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import torch
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

if TYPE_CHECKING:
    from torch import nn

NAME = "bf16_products"
LONGEST = 384
"""Tokens a window has at most: what is kept for the gradient grows with their square."""
# What the products below don't compute.
_OTHER_WAYS = ("softcap", "s_aux", "cache")


@contextmanager
def bf16_attention(network: nn.Module) -> Iterator[None]:
    """Within, models that use torch's attention compute it as matrix products where that pays.

    That is for bf16 on a processor, windows of up to 384 tokens and a gradient. The fused kernel
    takes over four times as long there for windows of 32 or 64 tokens, and 1.3 times with 290 (12
    heads of size 32, forwards and backwards, one thread; `make bench`). What is computed is the
    same, up to rounding.
    """
    AttentionInterface.register(NAME, _attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    changed: list[PreTrainedModel] = []
    try:
        for module in network.modules():
            if (
                isinstance(module, PreTrainedModel)
                and module.config._attn_implementation == "sdpa"  # noqa: SLF001  (it has no other)
                and module._can_set_attn_implementation()  # noqa: SLF001  (else it is warned of)
            ):
                module.set_attn_implementation(NAME)
                changed.append(module)
        yield
    finally:
        for module in changed:
            module.set_attn_implementation("sdpa")


def _attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    position_bias: torch.Tensor | None = None,
    **others: Any,  # noqa: ANN401  (what an architecture hands on)
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """As `transformers` calls it, with tensors of shape (windows, heads, tokens, size)."""
    causal = getattr(module, "is_causal", False) if is_causal is None else is_causal
    pays = (
        query.device.type == "cpu"
        and query.dtype == key.dtype == value.dtype == torch.bfloat16
        and torch.is_grad_enabled()
        and query.requires_grad
        and query.shape == key.shape == value.shape
        and query.shape[2] <= LONGEST
        and not dropout
        and position_bias is None
        and (attention_mask is None or attention_mask.dtype == torch.bool)
        and not (causal and attention_mask is None)
        and all(others.get(name) is None for name in _OTHER_WAYS)
    )
    if not pays:
        return sdpa_attention_forward(
            module,
            query,
            key,
            value,
            attention_mask,
            dropout=dropout,
            scaling=scaling,
            is_causal=is_causal,
            position_bias=position_bias,
            **others,
        )
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    found = cast("torch.Tensor", _PRODUCTS(query, key, value, attention_mask, scale))
    return found.transpose(1, 2).contiguous(), None


class _Products(torch.autograd.Function):
    """softmax(scale · Q Kᵀ) V, of whose making only the weights are kept, in bf16."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401  (torch's, untyped)
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor | None,
        scale: float,
    ) -> torch.Tensor:
        scores = torch.matmul(query * scale, key.transpose(-1, -2))
        if mask is not None:
            scores.masked_fill_(~mask, torch.finfo(scores.dtype).min)
        weights = torch.softmax(scores, -1, dtype=torch.bfloat16)
        ctx.save_for_backward(query, key, value, weights)
        ctx.scale = scale
        return torch.matmul(weights, value)

    @staticmethod
    def backward(
        ctx: Any,  # noqa: ANN401  (torch's, untyped)
        *gradients: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, None, None]:
        (gradient,) = gradients
        query, key, value, weights = ctx.saved_tensors
        of_value = torch.matmul(weights.transpose(-1, -2), gradient)
        of_weights = torch.matmul(gradient, value.transpose(-1, -2))
        of_scores = torch.ops.aten._softmax_backward_data(  # noqa: SLF001  (softmax's own)
            of_weights, weights, -1, weights.dtype
        )
        of_query = torch.matmul(of_scores, key) * ctx.scale
        of_key = torch.matmul(of_scores.transpose(-1, -2), query) * ctx.scale
        return of_query, of_key, of_value, None, None


_PRODUCTS: Callable[..., Any] = _Products.apply
