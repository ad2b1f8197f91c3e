"""Label-wise attention over all token states of a note.

LAAT (Vu et al. 2020, arXiv 2007.06351, section 3.3) as used on a pretrained encoder by
PLM-ICD (Huang et al. 2022, arXiv 2207.05289, section 3): with token states H (tokens, d),

    Z = tanh(H V'),   A = softmax over tokens of (Z U'),   logit_l = A_l H w_l + b_l.

H w_l is computed for all tokens before the weighted sum, which gives the same logit without
a (labels, d) context per note.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from clinical_tl.text.batches import WindowBatch

# Labels are attended in chunks of this many, so that memory does not grow with a code system
# (in training it does: the backward pass needs what every chunk computed).
LABEL_CHUNK = 1024
# Chosen on the dev notes of CodiEsp with a frozen encoder: MAP 0.477 → 0.480 against no dropout,
# 0.474 → 0.477 against a scale of 2.
DROPOUT = 0.2
DESCRIBED_SCALE = 6.0


@dataclass(frozen=True)
class NoteStates:
    """Token states of whole notes.

    `states` has shape (notes, tokens, d), each token once, in text order, padded; `mask`,
    shape (notes, tokens), is True at real tokens.
    """

    states: torch.Tensor
    mask: torch.Tensor


class LabelAttention(nn.Module):
    """One attention query and one linear classifier a label.

    A padded position gets no attention. A note without tokens gets the labels' biases.
    """

    def __init__(self, hidden_size: int, n_labels: int, *, dropout: float = DROPOUT) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.dropout = nn.Dropout(dropout)
        self.projection = nn.Linear(hidden_size, hidden_size, bias=False)
        self.queries = nn.Linear(hidden_size, n_labels, bias=False)
        self.classifiers = nn.Linear(hidden_size, n_labels)
        nn.init.normal_(self.projection.weight, std=0.03)
        nn.init.normal_(self.queries.weight, std=0.03)
        nn.init.normal_(self.classifiers.weight, std=0.03)
        nn.init.zeros_(self.classifiers.bias)

    def forward(self, notes: NoteStates) -> torch.Tensor:
        """Logits, shape (notes, labels)."""
        states = self.dropout(notes.states)
        keys = torch.tanh(self.projection(states))
        n_labels = self.queries.out_features
        chunks = [
            self._logits(states, keys, notes.mask, slice(start, start + LABEL_CHUNK))
            for start in range(0, n_labels, LABEL_CHUNK)
        ]
        return torch.cat(chunks, dim=1) + self.classifiers.bias

    def attention(self, notes: NoteStates, note: int, labels: torch.Tensor) -> torch.Tensor:
        """Attention of some labels (indices, shape (m,)) over one note's tokens, shape (m, tokens).

        Rows sum to 1 over the note's real tokens.
        """
        length = int(notes.mask[note].sum())
        keys = torch.tanh(self.projection(notes.states[note, :length]))
        scores = self.queries.weight[labels].to(keys.dtype) @ keys.T
        return scores.float().softmax(dim=-1)

    @torch.no_grad()
    def initialise(self, descriptions: torch.Tensor, *, sharpness: float = 10.0) -> None:
        """Start every label's query and classifier from its encoded description.

        `descriptions` has shape (labels, d). The projection starts as a scaled identity (tanh
        near its linear part), the query as the description's direction, `sharpness` being the
        logit gap between a token along it and one across; the classifier as the same
        direction, small, so that attended text like the description speaks for the label.
        """
        direction = nn.functional.normalize(descriptions.float(), dim=1)
        root = math.sqrt(self.hidden_size)
        self.projection.weight.copy_(torch.eye(self.hidden_size) * 0.5)
        self.queries.weight.copy_(direction * 2 * sharpness / root)
        self.classifiers.weight.copy_(direction * DESCRIBED_SCALE / root)

    def _logits(
        self, states: torch.Tensor, keys: torch.Tensor, mask: torch.Tensor, labels: slice
    ) -> torch.Tensor:
        scores = nn.functional.linear(keys, self.queries.weight[labels]).float()
        # A finite floor: a note without any token must give numbers, not NaN.
        scores = scores.masked_fill(~mask[..., None], torch.finfo(scores.dtype).min)
        weights = scores.softmax(dim=1)
        values = nn.functional.linear(states, self.classifiers.weight[labels]).float()
        return (weights * values.masked_fill(~mask[..., None], 0.0)).sum(dim=1)


def gather_notes(hidden: torch.Tensor, batch: WindowBatch) -> NoteStates:
    """Windows' states, shape (windows, length, d), as whole notes: each token once, in order."""
    counts = batch.owned.sum(dim=1)
    per_note = torch.zeros(batch.n_notes, dtype=counts.dtype, device=counts.device)
    per_note = per_note.index_add(0, batch.note_index, counts)
    tokens = hidden[batch.owned]
    longest = max(int(per_note.max()), 1)
    states = tokens.new_zeros(batch.n_notes, longest, hidden.shape[-1])
    mask = torch.arange(longest, device=counts.device)[None] < per_note[:, None]
    # Rows are in note order and mask is row-major, so tokens fall into their places.
    states[mask] = tokens
    return NoteStates(states, mask)
