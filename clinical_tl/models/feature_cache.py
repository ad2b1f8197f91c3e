"""A frozen encoder's token states, computed once and read in every later epoch.

A frozen encoder in evaluation mode says the same of a window every time; only the head
changes. The states are kept in memory up to a limit, beyond which they are computed anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from clinical_tl.models.network import Network, base_model
from clinical_tl.text.batches import WindowBatch

DEFAULT_LIMIT = 2 * 1024**3
"""Bytes of states kept, at most."""

_Key = tuple[int, int]


class FeatureCache:
    """Token states by window: (note index, first token) → (tokens with special ones, d)."""

    def __init__(self, network: Network, *, limit: int = DEFAULT_LIMIT) -> None:
        self._encoder: Any = base_model(network.model)
        self._limit = limit
        self._size = 0
        self._states: dict[_Key, torch.Tensor] = {}

    def __len__(self) -> int:
        return len(self._states)

    @contextmanager
    def serving(self, batch: WindowBatch) -> Iterator[None]:
        """Within, the encoder answers for `batch` from the cache, after filling it if need be.

        The encoder's own `forward` is put back at the end. What the pooler makes of the
        states is computed each time: it trains with the head.
        """
        states = self._padded(batch)
        if states is None:
            yield
            return
        from transformers.modeling_outputs import BaseModelOutput, BaseModelOutputWithPooling

        pooler: nn.Module | None = getattr(self._encoder, "pooler", None)

        def forward(*_: object, **__: object) -> Any:  # noqa: ANN401  (either output class)
            if pooler is None:
                return BaseModelOutput(last_hidden_state=states)
            return BaseModelOutputWithPooling(
                last_hidden_state=states, pooler_output=pooler(states)
            )

        self._encoder.forward = forward
        try:
            yield
        finally:
            del self._encoder.forward

    def _padded(self, batch: WindowBatch) -> torch.Tensor | None:
        keys = [
            (batch.notes[note], window.start)
            for note, window in zip(batch.note_index.tolist(), batch.windows, strict=True)
        ]
        if any(key not in self._states for key in keys):
            if self._size >= self._limit:
                return None
            self._fill(keys, batch)
        rows = [self._states[key] for key in keys]
        padded = rows[0].new_zeros(len(rows), batch.input_ids.shape[1], rows[0].shape[-1])
        for row, states in enumerate(rows):
            padded[row, : len(states)] = states
        return padded

    def _fill(self, keys: list[_Key], batch: WindowBatch) -> None:
        with torch.no_grad():
            output = self._encoder(input_ids=batch.input_ids, attention_mask=batch.attention_mask)
        for row, key in enumerate(keys):
            length = int(batch.attention_mask[row].sum())
            states = output.last_hidden_state[row, :length].float().clone()
            self._size += states.numel() * states.element_size()
            self._states[key] = states
