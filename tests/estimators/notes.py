"""Made-up embeddings that many tests share."""

from __future__ import annotations

import numpy as np

DIMENSION = 6
CENTRES = np.array([[4.0, 0, 0, 1, 0, 0], [0, 4.0, 0, 0, 1, 0], [0, 0, 4.0, 0, 0, 1]])


def blobs(n: int = 90, *, seed: int = 0, spread: float = 0.4) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings (n, 6) float32 around three centres, and the centre of each (n,)."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) % len(CENTRES)
    noise = random.normal(size=(n, DIMENSION)) * spread * np.array([1, 0.8, 0.6, 0.5, 0.4, 0.3])
    return (CENTRES[labels] + noise).astype(np.float32), labels


def strangers(n: int = 30, *, seed: int = 1) -> np.ndarray:
    """Embeddings (n, 6) that point elsewhere."""
    random = np.random.default_rng(seed)
    centre = np.array([-2.0, -2, -2, 3, -3, 3])
    return (centre + random.normal(size=(n, DIMENSION)) * 0.4).astype(np.float32)
