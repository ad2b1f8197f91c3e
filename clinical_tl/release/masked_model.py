"""A masked language model read for an audit: losses of notes, and of secrets in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from clinical_tl.errors import EncoderError, shown_path
from clinical_tl.models.encoder import find_encoder
from clinical_tl.schema import Note
from clinical_tl.text.batches import WindowedNotes
from clinical_tl.text.windows import Windowing

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from clinical_tl.text.tokenizer import NoteTokenizer, TokenisedNote

Floats = npt.NDArray[np.float64]

SHARE = 0.15
"""Of the tokens that are hidden, as in training."""
_IGNORED = -100


@dataclass(frozen=True)
class MaskedModel:
    """An encoder with its masked-language-model head."""

    model: PreTrainedModel
    tokenizer: NoteTokenizer
    windowing: Windowing

    @classmethod
    def load(cls, encoder: str | Path) -> MaskedModel:
        """Raises `EncoderError` for an encoder without a trained head, or without a mask token."""
        from clinical_tl.models.device import choose_device
        from clinical_tl.models.frozen_encoder import encoder_windowing
        from clinical_tl.models.masked_lm import load_masked_lm
        from clinical_tl.models.network import quiet_transformers
        from clinical_tl.text.tokenizer import NoteTokenizer

        source = find_encoder(encoder)
        with quiet_transformers():
            loaded = load_masked_lm(source)
        tokenizer = NoteTokenizer.from_pretrained(source.path)
        if not loaded.pretrained_head or tokenizer.tokenizer.mask_token_id is None:
            raise EncoderError(
                f"{shown_path(source.name)!r} has no masked-language-model head of its own"
            )
        windowing = encoder_windowing(source, tokenizer, None, None)
        model: Any = loaded.model
        return cls(model.to(choose_device()).eval(), tokenizer, windowing)

    def note_losses(self, notes: Sequence[Note], *, seed: int = 0) -> Floats:
        """Mean cross-entropy of hidden tokens, shape (notes,); NaN for a note without tokens.

        What is hidden depends on the seed and the note's place alone, so that two models with
        one tokenizer are asked the same.
        """
        tokens = self.tokenizer.encode([note.text for note in notes])
        hidden = []
        for number, own in enumerate(tokens):
            rng = np.random.default_rng((seed, number))
            chosen = rng.random(len(own)) < SHARE
            if len(own) and not chosen.any():
                chosen[rng.integers(len(own))] = True
            hidden.append(chosen)
        return self._mean_losses(tokens, hidden)

    def secret_losses(self, texts: Sequence[str], starts: Sequence[int]) -> Floats:
        """Mean cross-entropy of each text's tokens from character `starts` on, shape (texts,).

        One token is hidden at a time, the others seen (Salazar et al. 2020, arXiv 1910.14659:
        pseudo-log-likelihood).
        """
        tokens = self.tokenizer.encode(texts)
        places = [
            (i, t)
            for i, own in enumerate(tokens)
            for t in np.flatnonzero(own.starts >= starts[i]).tolist()
        ]
        copies = [tokens[i] for i, _ in places]
        hidden = [np.arange(len(tokens[i])) == t for i, t in places]
        losses = self._mean_losses(copies, hidden)
        owner = np.array([i for i, _ in places])
        return np.array([losses[owner == i].mean() for i in range(len(texts))])

    def _mean_losses(
        self,
        tokens: Sequence[TokenisedNote],
        hidden: Sequence[npt.NDArray[np.bool_]],
    ) -> Floats:
        """Over each text's hidden tokens, in the window that decides them."""
        import torch
        from torch.nn import functional

        from clinical_tl.models.device import batch_tokens_for
        from clinical_tl.models.masked_lm import masked_logits
        from clinical_tl.models.structure import base_model

        mask: Any = self.tokenizer.tokenizer.mask_token_id
        total, n = np.zeros(len(tokens)), np.zeros(len(tokens))
        device = next(self.model.parameters()).device
        windowed = WindowedNotes.of(tokens, self.tokenizer, self.windowing, whole_notes=False)
        for inputs in windowed.batches(batch_tokens_for(device)):
            chosen = torch.zeros_like(inputs.owned)
            prefix = len(self.tokenizer.prefix_ids)
            for row, (number, window) in enumerate(
                zip(inputs.note_index.tolist(), inputs.windows, strict=True)
            ):
                own = hidden[inputs.notes[number]][window.start : window.stop]
                chosen[row, prefix : prefix + len(own)] = torch.from_numpy(own)
            gold = torch.where(chosen & inputs.owned, inputs.input_ids, _IGNORED)
            masked = torch.where(chosen, mask, inputs.input_ids)
            shown = replace(inputs, input_ids=masked, hidden_ids=gold).to(device)
            with torch.inference_mode():
                logits = masked_logits(self.model, base_model(self.model), shown).float().cpu()
            losses = functional.cross_entropy(logits, gold[gold >= 0], reduction="none").numpy()
            rows = (gold >= 0).nonzero()[:, 0].numpy()
            owner = np.array(inputs.notes)[inputs.note_index.numpy()[rows]]
            np.add.at(total, owner, losses)
            np.add.at(n, owner, 1)
        means: Floats = np.divide(total, n, out=np.full(len(tokens), np.nan), where=n > 0)
        return means
