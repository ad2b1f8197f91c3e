"""One seed from several numbers."""

from __future__ import annotations

import hashlib


def mix_seeds(*numbers: int) -> int:
    """A seed that any change of any of the numbers changes."""
    text = ",".join(map(str, numbers)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=6).digest(), "big")
