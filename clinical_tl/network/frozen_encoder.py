"""A pretrained encoder that only reads: token states of notes of any length, and their pooling."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch

from clinical_tl.errors import ConfigError, EncoderError, shown_path, shown_value
from clinical_tl.network.device import batch_tokens_for, choose_device
from clinical_tl.network.encoder import EncoderSource, find_encoder, load_config, max_positions
from clinical_tl.network.heads import load_bare
from clinical_tl.network.network import quiet_transformers
from clinical_tl.text.batches import WindowedNotes
from clinical_tl.text.tokenizer import NoteTokenizer, TokenisedNote
from clinical_tl.text.windows import Windowing

if TYPE_CHECKING:
    from torch import nn
    from transformers import PretrainedConfig

VectorPooling = Literal["mean", "max", "cls"]

WINDOW = 512
OVERLAP = 64
# What a config says of files and versions decides no state.
_NO_SETTINGS = frozenset({"_name_or_path", "transformers_version", "architectures", "dtype"})


@dataclass(frozen=True)
class FrozenEncoder:
    """An encoder in evaluation mode with the tokenizer and windows it reads with."""

    model: nn.Module
    tokenizer: NoteTokenizer
    windowing: Windowing
    source: EncoderSource

    @classmethod
    def from_pretrained(
        cls,
        encoder: str | Path,
        *,
        revision: str | None = None,
        window: int | None = None,
        overlap: int | None = None,
        device: str | torch.device | None = None,
    ) -> FrozenEncoder:
        """Load a folder, a Hub id or `"offline"`, onto `device`: the GPU where there is one.

        Raises `EncoderError` if it can't be found or has no fast tokenizer, `ConfigError` for
        windows longer than its positions, or a device that is not there.
        """
        source = find_encoder(encoder, revision=revision)
        return cls.of_source(source, window=window, overlap=overlap, device=device)

    @classmethod
    def of_source(
        cls,
        source: EncoderSource,
        *,
        window: int | None = None,
        overlap: int | None = None,
        device: str | torch.device | None = None,
    ) -> FrozenEncoder:
        """An encoder that was found already; arguments and errors as of `from_pretrained`."""
        place = choose_device(device)
        tokenizer = NoteTokenizer.from_pretrained(source.path)
        windowing = encoder_windowing(source, tokenizer, window, overlap)
        with quiet_transformers():
            model: nn.Module = load_bare(source)
        return cls(model.to(place).eval(), tokenizer, windowing, source)

    @property
    def dimension(self) -> int:
        """Numbers in a token's state."""
        return _dimension(self.model)

    @property
    def fingerprint(self) -> str:
        """Changes with the weights as they are in memory, the config, tokenizer or windows."""
        config: Any = self.model.config
        settings = {name: v for name, v in config.to_dict().items() if name not in _NO_SETTINGS}
        parts = (
            json.dumps(settings, sort_keys=True, default=str),
            self.tokenizer.fingerprint,
            repr(self.windowing),
        )
        digest = hashlib.blake2b("\0".join(parts).encode(), digest_size=32)
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\0".encode())
            values = tensor.detach().cpu().contiguous().reshape(-1)
            digest.update(values.view(torch.uint8).numpy())
        return digest.hexdigest()

    def vectors(
        self, texts: Sequence[str], *, pooling: VectorPooling = "mean", layer: int = -1
    ) -> np.ndarray:
        """One vector a text, shape (texts, d), float32; a text without a token has zeros."""
        pooled = pool_texts(
            self.model, self.tokenizer, self.windowing, texts, pooling=pooling, layer=layer
        )
        return pooled.cpu().numpy()

    def token_states(
        self, tokens: Sequence[TokenisedNote], *, layer: int | None = -1
    ) -> Iterator[tuple[int, np.ndarray]]:
        """(note, its tokens' states of shape (tokens, d)), each note once, longest first.

        `layer=None` has the embeddings and the middle layer side by side, 2 d.
        """
        for note, own in iter_states(
            self.model, self.tokenizer, self.windowing, tokens, layer=layer
        ):
            yield note, own[1].cpu().numpy()


def encoder_windowing(
    source: EncoderSource, tokenizer: NoteTokenizer, window: int | None, overlap: int | None
) -> Windowing:
    """The windows that an encoder reads: 512 tokens or what it can, overlapping by 64.

    Raises `ConfigError` for a `window` longer than its positions, `EncoderError` where not
    even the special tokens fit, or where the tokenizer has tokens that the encoder lacks.
    """
    config = load_config(source)
    _check_vocabulary(config, tokenizer, source.name)
    limits = [n for n in (max_positions(config), tokenizer.max_length) if n]
    limit = min(limits, default=None)
    if window is None:
        window = WINDOW if limit is None else min(WINDOW, limit)
    if limit is not None and window > limit:
        raise ConfigError(
            f"window={window}, but the encoder {shown_path(source.name)!r} reads {limit} tokens at "
            "most; longer notes are read in several windows"
        )
    if window <= tokenizer.n_special:
        raise EncoderError(
            f"the encoder {shown_path(source.name)!r} reads {window} tokens only, "
            f"{tokenizer.n_special} of "
            "them special; use one with more positions"
        )
    return Windowing(window, min(OVERLAP, window // 8) if overlap is None else overlap)


def _check_vocabulary(config: PretrainedConfig, tokenizer: NoteTokenizer, name: str) -> None:
    """Token ids beyond the embeddings would be an index error in the middle of training."""
    rows = getattr(config, "vocab_size", None)
    if isinstance(rows, int) and tokenizer.highest_id >= rows:
        raise EncoderError(
            f"the tokenizer of the encoder {shown_path(name)!r} has token ids up to "
            f"{tokenizer.highest_id}, "
            f"but the encoder has embeddings for {rows} tokens: tokens were added to the "
            "tokenizer alone. Resize the encoder and save both: "
            "model.resize_token_embeddings(len(tokenizer)); or use the tokenizer it came with"
        )


def pool_texts(
    model: nn.Module,
    tokenizer: NoteTokenizer,
    windowing: Windowing,
    texts: Sequence[str],
    *,
    pooling: VectorPooling = "mean",
    layer: int = -1,
    autocast: AbstractContextManager[Any] | None = None,
) -> torch.Tensor:
    """One vector a text, shape (texts, d), float32, on the model's device.

    `mean` and `max` go over the text's tokens, each counted once wherever windows overlap;
    `cls` is the first token's state, averaged over windows. A text without a token has zeros
    (under `cls`, the state of a window with nothing in it).
    """
    if pooling not in get_args(VectorPooling):
        raise ConfigError(
            f"pooling {shown_value(pooling)}: choose one of {get_args(VectorPooling)}"
        )
    rows: dict[int, torch.Tensor] = {}
    if not texts:
        weight = next(model.parameters())
        return weight.new_zeros(0, _dimension(model), dtype=torch.float32)
    tokens = tokenizer.encode(texts)
    with autocast or nullcontext():
        for note, (first, own) in iter_states(model, tokenizer, windowing, tokens, layer=layer):
            if pooling == "cls":
                rows[note] = first.mean(dim=0)
            elif not len(own):
                rows[note] = own.new_zeros(own.shape[-1])
            else:
                rows[note] = own.mean(dim=0) if pooling == "mean" else own.amax(dim=0)
    return torch.stack([rows[i] for i in range(len(texts))])


def iter_states(
    model: nn.Module,
    tokenizer: NoteTokenizer,
    windowing: Windowing,
    tokens: Sequence[TokenisedNote],
    *,
    layer: int | None = -1,
) -> Iterator[tuple[int, tuple[torch.Tensor, torch.Tensor]]]:
    """For each note, longest first: its number, (windows' first states, its tokens' states).

    Shapes (windows, d) and (tokens, d), float32. `layer` counts as transformers does: 0 is
    the embeddings, −1 the last; `None` has the embeddings and the middle layer side by side, 2 d.
    The model's mode is restored at the end.

    Raises `ConfigError` for a layer that the encoder does not have.
    """
    windowed = WindowedNotes.of(tokens, tokenizer, windowing, whole_notes=True)
    device = next(model.parameters()).device
    budget = batch_tokens_for(device)
    mode = model.training
    model.eval()
    try:
        for batch in windowed.batches(budget):
            inputs = batch.to(device)
            # A note with more windows than the budget is read in parts.
            step = max(budget // inputs.input_ids.shape[1], 1)
            parts = []
            for ids, mask in zip(
                torch.split(inputs.input_ids, step),
                torch.split(inputs.attention_mask, step),
                strict=True,
            ):
                with torch.inference_mode():
                    output = model(
                        input_ids=ids, attention_mask=mask, output_hidden_states=layer != -1
                    )
                    states = output.last_hidden_state
                    if layer != -1:
                        states = _layer(output.hidden_states, layer)
                    parts.append(states.float())
            hidden = parts[0] if len(parts) == 1 else torch.cat(parts)
            for row, note in enumerate(inputs.notes):
                mine = inputs.note_index == row
                yield note, (hidden[mine, 0], hidden[mine][inputs.owned[mine]])
    finally:
        model.train(mode)


def _dimension(model: nn.Module) -> int:
    config: Any = model.config
    return int(config.hidden_size)


def _layer(states: Sequence[torch.Tensor], layer: int | None) -> torch.Tensor:
    if layer is None:
        return torch.cat([states[0], states[len(states) // 2]], dim=-1)
    if not -len(states) <= layer < len(states):
        raise ConfigError(
            f"layer {layer}: this encoder has the layers 0 (embeddings) to {len(states) - 1}, "
            f"or −1 to −{len(states)} from the end"
        )
    return states[layer]
