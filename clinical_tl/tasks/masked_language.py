"""Masked language modelling as a task of the training loop: whole words hidden, to be guessed.

Devlin et al. 2019 (arXiv 1810.04805), section 3.1: of the chosen words' tokens 80 % are
replaced by the mask, 10 % by random tokens, 10 % left as they are; whole words as in the
authors' later release. Which words are chosen changes from step to step; on held-out notes
it never does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from clinical_tl.data.notes import NotesLike
from clinical_tl.errors import ConfigError, EncoderError
from clinical_tl.metrics.scores import Scores
from clinical_tl.schema import LabelSet, Note, Prediction
from clinical_tl.tasks.task import Task
from clinical_tl.text.units import find_units

if TYPE_CHECKING:
    import torch

    from clinical_tl.network.heads import Head, NetworkOutput
    from clinical_tl.network.network import Network
    from clinical_tl.text.batches import WindowBatch
    from clinical_tl.text.tokenizer import NoteTokenizer, TokenisedNote

IGNORED = -100
MASKED, RANDOM = 0.8, 0.9
"""Below the first a chosen word is masked, from there to the second replaced at random."""


@dataclass(frozen=True, repr=False)
class MaskedLanguageScores(Scores):
    """Over the masked tokens of held-out notes; `cross_entropy` in nats a token."""

    cross_entropy: float
    accuracy: float
    tokens: int

    def summary(self) -> dict[str, float]:
        """Metric name → value; `log_likelihood` is −`cross_entropy`, so that higher is better."""
        return {
            "perplexity": float(np.exp(self.cross_entropy)),
            "cross_entropy": self.cross_entropy,
            "log_likelihood": -self.cross_entropy,
            "accuracy": self.accuracy,
            "masked_tokens": float(self.tokens),
        }


@dataclass(frozen=True)
class MaskedLanguage(Task):
    """Guess hidden words. `share` of a note's words is chosen; ids are the tokenizer's."""

    # The text is its own gold.
    labels: LabelSet = field(default=LabelSet(()), init=False)

    mask_id: int
    ordinary_ids: tuple[int, int]
    share: float = 0.15

    kind: ClassVar[str] = "masked_language"
    whole_notes: ClassVar[bool] = False
    monitor: ClassVar[str] = "log_likelihood"
    pipeline_tag: ClassVar[str] = "fill-mask"

    @classmethod
    def for_tokenizer(cls, tokenizer: NoteTokenizer, *, share: float = 0.15) -> Self:
        """The task over a tokenizer's vocabulary.

        Raises `EncoderError` for a tokenizer without a mask token, `ConfigError` for a share
        outside (0, 1).
        """
        if not 0 < share < 1:
            raise ConfigError(f"a share of {share} of the words can't be masked; choose in (0, 1)")
        mask_id = tokenizer.tokenizer.mask_token_id
        if mask_id is None:
            raise EncoderError(
                "the tokenizer has no mask token; masked language modelling needs one: choose an "
                "encoder that was pretrained with it"
            )
        special = {int(i) for i in tokenizer.tokenizer.all_special_ids}
        first = max((i for i in special if i < len(tokenizer.tokenizer) // 2), default=-1) + 1
        return cls(int(mask_id), (first, len(tokenizer.tokenizer)), share)

    @property
    def head_spec(self) -> Head:
        """The architecture's own masked-language-model head."""
        from clinical_tl.network.heads import MaskedLMHead

        return MaskedLMHead(())

    def targets(self, notes: Sequence[Note], tokens: Sequence[TokenisedNote]) -> list[np.ndarray]:
        """The word each token belongs to, shape (tokens,), from 0; −1 before the first."""
        targets = []
        for note, note_tokens in zip(notes, tokens, strict=True):
            units = find_units(note.text, note_tokens)
            opens = np.zeros(len(note_tokens), dtype=np.int64)
            opens[units.tokens] = 1
            targets.append(np.cumsum(opens) - 1)
        return targets

    def corrupt(self, batch: WindowBatch, targets: Sequence[np.ndarray], seed: int) -> WindowBatch:
        """The batch with words hidden, and what was there in `hidden_ids`.

        A word is chosen or not for its whole note: where windows overlap it is hidden in
        both, and to be guessed in the one that owns it.
        """
        import torch

        ids = batch.input_ids.cpu().numpy().copy()
        owned = batch.owned.cpu().numpy()
        hidden = np.full(ids.shape, IGNORED, dtype=np.int64)
        fates: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
        for row, (number, window) in enumerate(
            zip(batch.note_index.tolist(), batch.windows, strict=True)
        ):
            if not len(window):
                continue
            note = batch.notes[number]
            if note not in fates:
                fates[note] = self._fates(targets[note], np.random.default_rng((seed, note)))
            chosen, how, instead = (part[window.start : window.stop] for part in fates[note])
            # The window's first own token tells how many special tokens precede the text.
            shift = int(owned[row].argmax()) - (window.own_start - window.start)
            span = slice(shift, shift + len(window))
            before = ids[row, span].copy()
            ids[row, span] = np.where(
                chosen & (how < MASKED),
                self.mask_id,
                np.where(chosen & (how >= MASKED) & (how < RANDOM), instead, before),
            )
            hidden[row, span] = np.where(chosen & owned[row, span], before, IGNORED)
        device = batch.input_ids.device
        return replace(
            batch,
            input_ids=torch.from_numpy(ids).to(device),
            hidden_ids=torch.from_numpy(hidden).to(device),
        )

    def _fates(
        self, words: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For each token: whether its word is chosen, a number that says how, another token."""
        n_words = _n_words(words)
        chosen = np.zeros(n_words + 1, dtype=bool)
        if n_words:
            chosen[rng.choice(n_words, self._n_chosen(n_words), replace=False)] = True
        how = rng.random(n_words + 1)
        instead = rng.integers(*self.ordinary_ids, size=len(words))
        # Position −1, before the first word, is the last entry, which is never chosen.
        return chosen[words], how[words], instead

    def _n_chosen(self, n_words: int) -> int:
        """At least one, so that a note of few words is not left out."""
        return max(1, round(self.share * n_words))

    def hidden(
        self, targets: Sequence[np.ndarray], note: int, start: int, stop: int, seed: int
    ) -> int:
        """How many tokens between two are to be guessed under this seed."""
        chosen, _, _ = self._fates(targets[note], np.random.default_rng((seed, note)))
        return int(chosen[start:stop].sum())

    def decisions(
        self, output: NetworkOutput, batch: WindowBatch, targets: Sequence[np.ndarray]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (masked tokens, vocabulary) and the tokens that were there (masked tokens,)."""
        del targets
        hidden = _hidden(batch)
        return output.logits, hidden[hidden >= 0]

    def weight(self, target: np.ndarray, start: int, stop: int) -> float:
        """Masked tokens to be expected between two tokens; `hidden` counts those of a step."""
        n_words = _n_words(target)
        chosen = self._n_chosen(n_words) / n_words if n_words else 0.0
        return chosen * int((target[start:stop] >= 0).sum())

    def collect(
        self, network: Network, output: NetworkOutput, batch: WindowBatch
    ) -> list[tuple[int, tuple[float, int, int]]]:
        """For each window: summed cross-entropy, tokens guessed right, masked tokens."""
        del network
        hidden = _hidden(batch)
        gold = hidden[hidden >= 0]
        losses = self.losses(output.logits, gold).double()
        right = output.logits.argmax(dim=-1) == gold
        counts = (hidden >= 0).sum(dim=1).tolist()
        collected = []
        first = 0
        for number, n in zip(batch.note_index.tolist(), counts, strict=True):
            own = slice(first, first + n)
            piece = (float(losses[own].sum()), int(right[own].sum()), n)
            collected.append((batch.notes[number], piece))
            first += n
        return collected

    def decode(
        self, note: Note, tokens: TokenisedNote, pieces: Sequence[tuple[float, int, int]]
    ) -> Prediction:
        """The note's sums, as `scores`."""
        del tokens
        loss, right, n = (sum(part) for part in zip(*pieces, strict=True))
        return Prediction(note.note_id, scores={"loss": loss, "right": right, "tokens": n})

    def gold_labels(self, notes: Sequence[Note]) -> Mapping[str, int]:
        """None: the text is its own gold."""
        del notes
        return {}

    def evaluate(self, notes: NotesLike, predictions: Sequence[Prediction]) -> MaskedLanguageScores:
        """Sums over all notes."""
        del notes
        total = {
            name: sum(p.scores[name] for p in predictions) for name in ("loss", "right", "tokens")
        }
        n = max(int(total["tokens"]), 1)
        return MaskedLanguageScores(total["loss"] / n, total["right"] / n, int(total["tokens"]))

    def private_problem(self) -> str | None:
        """Stages are not accounted for."""
        return "masked language modelling runs in stages, which are not accounted for"


def _n_words(target: np.ndarray) -> int:
    return int(target[-1]) + 1 if len(target) else 0


def _hidden(batch: WindowBatch) -> torch.Tensor:
    if batch.hidden_ids is None:
        raise ValueError("the batch was not corrupted")
    return batch.hidden_ids
