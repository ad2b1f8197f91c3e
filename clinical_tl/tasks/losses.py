"""Losses for many labels a note, and the pooling of windows to notes."""

from __future__ import annotations

from typing import Literal

import torch
from torch.nn import functional

Pooling = Literal["mean", "max"]


def pool_windows(
    logits: torch.Tensor, note_index: torch.Tensor, n_notes: int, pooling: Pooling
) -> torch.Tensor:
    """Windows' logits, shape (windows, k), to notes', shape (notes, k)."""
    index = note_index[:, None].expand_as(logits)
    pooled = logits.new_zeros(n_notes, logits.shape[1])
    reduce = "amax" if pooling == "max" else "mean"
    return pooled.scatter_reduce(0, index, logits, reduce=reduce, include_self=False)


def asymmetric_loss(
    logits: torch.Tensor,
    gold: torch.Tensor,
    *,
    gamma_negative: float = 4.0,
    gamma_positive: float = 1.0,
    margin: float = 0.05,
) -> torch.Tensor:
    """Asymmetric loss for multi-label data, elementwise, same shape as `logits`.

    Ridnik et al. 2021 (arXiv 2009.14119), equations 4 to 6: focusing exponents for the two
    signs, and negatives easier than `margin` dropped:

        p_m = max(p − m, 0);  L+ = (1 − p)^γ+ log p;  L− = p_m^γ− log(1 − p_m).

    Between 0 and 1 (label smoothing) probabilities and exponents are mixed by `gold`, as the
    authors' code does: p_t = y p + (1 − y)(1 − p_m), γ = y γ+ + (1 − y) γ−, weight (1 − p_t)^γ.
    As there no gradient flows through the focusing weights.
    """
    positive = torch.sigmoid(logits)
    negative = (1 - positive + margin).clamp(max=1)
    with torch.no_grad():
        sure = gold * positive + (1 - gold) * negative
        weight = (1 - sure) ** (gold * gamma_positive + (1 - gold) * gamma_negative)
    log_likelihood = (
        gold * functional.logsigmoid(logits) + (1 - gold) * negative.clamp(min=1e-8).log()
    )
    return -weight * log_likelihood


def divergence(first: torch.Tensor, second: torch.Tensor, *, multi_label: bool) -> torch.Tensor:
    """Symmetric Kullback–Leibler divergence of two passes' predictions, shape (n,).

    The consistency term of R-Drop (Wu et al. 2021, arXiv 2106.14448, equation 2): half the
    sum of both directions, of categorical distributions or, for many labels, of independent
    Bernoulli ones (mean over labels, to match the loss).
    """
    if not multi_label:
        p, q = first.log_softmax(dim=-1), second.log_softmax(dim=-1)
        return 0.5 * ((p.exp() - q.exp()) * (p - q)).sum(dim=-1)
    p, q = torch.sigmoid(first), torch.sigmoid(second)
    # log p − log q + log(1 − q) − log(1 − p) is the difference of the logits.
    return 0.5 * ((p - q) * (first - second)).mean(dim=-1)
