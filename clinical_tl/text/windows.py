"""Overlapping windows over a note of any length: nothing is cut, every token has one owner.

A note of n tokens that does not fit is covered by the fewest windows that overlap by at
least `overlap` tokens; they are equally long, as short as that allows, so that a note just
above the limit does not cost twice the compute. Where windows overlap, each token belongs
to the one in which it is farther from the edge, i.e. has most context.
"""

from __future__ import annotations

from dataclasses import dataclass

from clinical_tl.errors import ConfigError


@dataclass(frozen=True)
class Window:
    """Tokens `start` to `stop` of a note, of which `own_start` to `own_stop` are its own."""

    start: int
    stop: int
    own_start: int
    own_stop: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Windowing:
    """How notes are cut: `length` tokens a window (special ones included), `overlap` shared.

    Raises `ConfigError` unless 0 <= overlap and overlap is below half the length (more would
    read every token more than twice).

    >>> for window in Windowing(length=128, overlap=16).windows(200, n_special=2):
    ...     print(window)
    Window(start=0, stop=108, own_start=0, own_stop=100)
    Window(start=92, stop=200, own_start=100, own_stop=200)
    """

    length: int = 512
    overlap: int = 64

    def __post_init__(self) -> None:
        if self.length < 8 or not 0 <= self.overlap < self.length // 2:
            raise ConfigError(
                f"windows of {self.length} tokens with an overlap of {self.overlap}: the length "
                "must be at least 8 and the overlap at least 0 and below half the length"
            )

    def windows(self, n_tokens: int, *, n_special: int) -> tuple[Window, ...]:
        """The windows of a note of `n_tokens` tokens, in order; an empty note has one, empty."""
        size = self.length - n_special
        overlap = min(self.overlap, max(size // 2 - 1, 0))
        if n_tokens <= size:
            return (Window(0, n_tokens, 0, n_tokens),)
        count = -(-(n_tokens - overlap) // (size - overlap))
        shortest = -(-(n_tokens + (count - 1) * overlap) // count)
        starts = [i * (n_tokens - shortest) // (count - 1) for i in range(count)]
        # The middle of two neighbours' overlap: from there on the later one sees more.
        cuts = [(starts[i + 1] + starts[i] + shortest) // 2 for i in range(count - 1)]
        bounds = [0, *cuts, n_tokens]
        return tuple(
            Window(start, start + shortest, bounds[i], bounds[i + 1])
            for i, start in enumerate(starts)
        )
