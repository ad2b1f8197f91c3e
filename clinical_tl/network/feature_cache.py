"""A frozen encoder's token states, computed once and read in every later epoch.

A frozen encoder in evaluation mode says the same of a window every time; only the head
changes. The states are kept in memory up to a limit, beyond which they are computed anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any

import torch
from torch import nn

from clinical_tl.network.network import Network
from clinical_tl.network.structure import base_model
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
        self._output: Any = None

    def __len__(self) -> int:
        return len(self._states)

    @contextmanager
    def serving(self, batch: WindowBatch) -> Iterator[None]:
        """Within, the encoder answers for `batch` from the cache, after filling it if need be.

        It is filled with what the encoder says when the head asks it, so with whatever the head
        asks of it (a Longformer's sequence head, global attention of the first token). What the
        pooler makes of the states is computed each time: it trains with the head. The encoder's
        own `forward` is put back at the end.
        """
        run = self._encoder.forward
        keys = [
            (batch.notes[note], window.start)
            for note, window in zip(batch.note_index.tolist(), batch.windows, strict=True)
        ]

        def forward(*arguments: object, **named: object) -> Any:  # noqa: ANN401  (any output)
            if any(key not in self._states for key in keys):
                if self._size >= self._limit:
                    return run(*arguments, **named)
                with torch.no_grad():
                    self._keep(keys, batch, run(*arguments, **named))
            return self._answer(keys, batch.input_ids.shape[1])

        self._encoder.forward = forward
        try:
            yield
        finally:
            del self._encoder.forward

    def _keep(self, keys: list[_Key], batch: WindowBatch, output: Any) -> None:  # noqa: ANN401
        others = {f.name: None for f in fields(output) if f.name != "last_hidden_state"}
        self._output = replace(output, **others)
        for row, key in enumerate(keys):
            length = int(batch.attention_mask[row].sum())
            states = output.last_hidden_state[row, :length].float().clone()
            self._size += states.numel() * states.element_size()
            self._states[key] = states

    def _answer(self, keys: list[_Key], width: int) -> Any:  # noqa: ANN401  (as the encoder's own)
        rows = [self._states[key] for key in keys]
        padded = rows[0].new_zeros(len(rows), width, rows[0].shape[-1])
        for row, states in enumerate(rows):
            padded[row, : len(states)] = states
        answer = replace(self._output, last_hidden_state=padded)
        pooler = getattr(self._encoder, "pooler", None)
        if pooler is None:
            return answer
        if isinstance(pooler, nn.Linear):  # ALBERT's, whose encoder does the rest.
            return replace(
                answer, pooler_output=self._encoder.pooler_activation(pooler(padded[:, 0]))
            )
        return replace(answer, pooler_output=pooler(padded))
