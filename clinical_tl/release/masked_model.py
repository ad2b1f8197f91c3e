"""A masked language model read for an audit: losses of notes, and of secrets in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from clinical_tl.errors import EncoderError, shown_path
from clinical_tl.models.reader import Reader
from clinical_tl.network.encoder import find_encoder
from clinical_tl.schema import Note
from clinical_tl.tasks.masked_language import MaskedLanguage

if TYPE_CHECKING:
    from clinical_tl.text.tokenizer import NoteTokenizer, TokenisedNote

Floats = npt.NDArray[np.float64]
Chosen = Sequence[npt.NDArray[np.bool_]]
"""For each text which of its tokens are hidden, shape (tokens,)."""

SHARE = 0.15
"""Of the tokens that are hidden, as in training."""


@dataclass(frozen=True)
class ChosenTokens(MaskedLanguage):
    """Guess the tokens that were chosen, all of them masked."""

    chosen: Chosen = field(default=(), repr=False)

    def targets(self, notes: Sequence[Note], tokens: Sequence[TokenisedNote]) -> list[np.ndarray]:
        """Whether each token is hidden, shape (tokens,)."""
        del notes, tokens
        return list(self.chosen)

    def _fates(
        self, words: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        del rng
        return words, np.zeros(len(words)), np.zeros(len(words), dtype=np.int64)


@dataclass(frozen=True)
class MaskedModel:
    """An encoder with its masked-language-model head: what reads with it, and the task."""

    reader: Reader
    task: ChosenTokens

    @classmethod
    def load(cls, encoder: str | Path) -> MaskedModel:
        """Raises `EncoderError` for an encoder without a trained head, or without a mask token."""
        from clinical_tl.network.device import choose_device
        from clinical_tl.network.frozen_encoder import encoder_windowing
        from clinical_tl.network.masked_lm import load_masked_lm
        from clinical_tl.network.network import Network, quiet_transformers
        from clinical_tl.text.tokenizer import NoteTokenizer

        source = find_encoder(encoder)
        with quiet_transformers():
            loaded = load_masked_lm(source)
        tokenizer = NoteTokenizer.from_pretrained(source.path)
        if not loaded.pretrained_head or tokenizer.tokenizer.mask_token_id is None:
            raise EncoderError(
                f"{shown_path(source.name)!r} has no masked-language-model head of its own"
            )
        task = ChosenTokens.for_tokenizer(tokenizer)
        network = Network(loaded.model, task.head_spec).to(choose_device())
        windowing = encoder_windowing(source, tokenizer, None, None)
        return cls(Reader(network, task, tokenizer, windowing), task)

    @property
    def tokenizer(self) -> NoteTokenizer:
        """The encoder's."""
        return self.reader.tokenizer

    def note_losses(self, notes: Sequence[Note], *, seed: int = 0) -> Floats:
        """Mean cross-entropy of hidden tokens, shape (notes,); NaN for a note without tokens.

        What is hidden depends on the seed and the note's place alone, so that two models with
        one tokenizer are asked the same.
        """
        texts = [note.text for note in notes]
        hidden = []
        for number, own in enumerate(self.tokenizer.encode(texts)):
            rng = np.random.default_rng((seed, number))
            chosen = rng.random(len(own)) < SHARE
            if len(own) and not chosen.any():
                chosen[rng.integers(len(own))] = True
            hidden.append(chosen)
        return self._mean_losses(texts, hidden)

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
        hidden = [np.arange(len(tokens[i])) == t for i, t in places]
        losses = self._mean_losses([texts[i] for i, _ in places], hidden)
        owner = np.array([i for i, _ in places])
        return np.array([losses[owner == i].mean() for i in range(len(texts))])

    def _mean_losses(self, texts: Sequence[str], hidden: Chosen) -> Floats:
        """Over each text's hidden tokens, in the window that decides them."""
        notes = [Note(str(i), text) for i, text in enumerate(texts)]
        reader = replace(self.reader, task=replace(self.task, chosen=hidden))
        found = reader.read(notes, progress=False, fold=False)
        sums = [np.sum(found.pieces[i], axis=0) for i in range(len(texts))]
        total, _, n = np.array(sums, dtype=np.float64).reshape(-1, 3).T
        means: Floats = np.divide(total, n, out=np.full(len(texts), np.nan), where=n > 0)
        return means
