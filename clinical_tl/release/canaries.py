"""Canaries: made-up secrets planted among training notes, to see whether a model keeps them.

Carlini et al. 2019 (arXiv 1802.08232), section 4: a secret's exposure is log2 of the number of
candidates minus log2 of its rank among them by loss. A model that never saw it exposes it by e
bits or more with probability 2^-e.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clinical_tl.errors import ConfigError
from clinical_tl.release.masked_model import MaskedModel
from clinical_tl.schema import Note

CANDIDATES = 511
"""Other secrets that each is ranked among, so exposure reaches log2(512) = 9 bits."""
DIGITS = 6
_SENTENCE = "The sentinel record of the {place} has the number "
_PLACES = ("archive", "basement", "chapel", "dairy", "estuary", "foundry", "garden", "harbour")


@dataclass(frozen=True)
class CanaryExposure:
    """Exposure of each planted canary in bits, in the order of the notes."""

    bits: tuple[float, ...]

    @property
    def highest(self) -> float:
        """Of the canary that the model kept best."""
        return max(self.bits)


def canary_notes(count: int = 8, *, seed: int = 0) -> list[Note]:
    """Notes with one random secret each, to train on among one's own.

    They are marked in their metadata, where `check_release(train=...)` finds them. At most 8,
    each in a sentence of its own. Planting one several times measures how often a text has to
    be repeated to be kept.

    Raises `ConfigError` for another number.
    """
    if not 1 <= count <= len(_PLACES):
        raise ConfigError(f"{count} canaries; allowed: 1 to {len(_PLACES)}")
    rng = np.random.default_rng(seed)
    return [
        Note(
            note_id=f"canary {place}",
            text=f"{_SENTENCE.format(place=place)}{_secret(rng)}",
            metadata={"canary": True},
        )
        for place in _PLACES[:count]
    ]


def planted_canaries(notes: Sequence[Note]) -> list[Note]:
    """Of the training notes the canaries, each once."""
    found = {n.text: n for n in notes if n.metadata.get("canary") is True}
    return list(found.values())


def canary_exposure(
    model: MaskedModel, canaries: Sequence[Note], *, seed: int = 0
) -> CanaryExposure:
    """Rank every canary's loss among those of random secrets in its own sentence."""
    bits = []
    for number, canary in enumerate(canaries):
        start = len(canary.text) - (2 * DIGITS - 1)
        own = canary.text[start:]
        rng = np.random.default_rng((seed, number))
        others: set[str] = set()
        while len(others) < CANDIDATES:
            others.add(_secret(rng))
            others.discard(own)
        texts = [canary.text, *(canary.text[:start] + secret for secret in sorted(others))]
        losses = model.secret_losses(texts, [start] * len(texts))
        rank = 1 + int((losses[1:] < losses[0]).sum())
        bits.append(float(np.log2(len(texts)) - np.log2(rank)))
    return CanaryExposure(tuple(bits))


def _secret(rng: np.random.Generator) -> str:
    """Digits with blanks between, so that each is a token of its own."""
    return " ".join(str(digit) for digit in rng.integers(0, 10, DIGITS))
