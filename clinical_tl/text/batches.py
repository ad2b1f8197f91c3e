"""Length-sorted batches under a token budget, and their collation into tensors.

An item is what must stay in one batch: all windows of a note where the note is decided as
a whole, a single window where tokens are. Items of like length share a batch, so little is
padded, and a batch is bounded by its padded tokens, not by a count.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clinical_tl.text.tokenizer import NoteTokenizer, TokenisedNote
from clinical_tl.text.windows import Window, Windowing

if TYPE_CHECKING:
    import torch

# Lengths are jittered by up to this share before sorting, so that the company an item keeps
# changes from epoch to epoch while padding stays small.
LENGTH_JITTER = 0.15
# Widths are rounded up to this: every new shape costs a CPU library another compiled kernel
# (measured: 3.7 GB after 300 odd shapes in bf16), and GPUs like multiples of 8.
SHAPE_MULTIPLE = 8


@dataclass(frozen=True)
class Item:
    """The windows of note `note` (its index) that must be in one batch."""

    note: int
    windows: tuple[Window, ...]

    @property
    def longest(self) -> int:
        """Tokens of the longest window, special ones not counted."""
        return max(len(window) for window in self.windows)


@dataclass(frozen=True)
class WindowBatch:
    """Windows padded to the longest of them, and where each comes from.

    `input_ids`, `attention_mask` (1 = token) and `owned` (the window decides this token;
    never a special token or padding) have shape (windows, length); `note_index`, shape
    (windows,), is the position of the window's note in `notes`, which holds the notes'
    indices in the set; `windows` says which tokens each row covers. Where inputs were masked
    to be guessed, `hidden_ids` has the ids that were there, −100 at all other places.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    owned: torch.Tensor
    note_index: torch.Tensor
    notes: tuple[int, ...]
    windows: tuple[Window, ...]
    hidden_ids: torch.Tensor | None = None

    @property
    def n_notes(self) -> int:
        """Distinct notes in the batch."""
        return len(self.notes)

    def to(self, device: torch.device) -> WindowBatch:
        """The same batch with its tensors on `device`."""
        return WindowBatch(
            self.input_ids.to(device),
            self.attention_mask.to(device),
            self.owned.to(device),
            self.note_index.to(device),
            self.notes,
            self.windows,
            None if self.hidden_ids is None else self.hidden_ids.to(device),
        )


@dataclass(frozen=True)
class WindowedNotes:
    """Texts cut into tokens and windows, and the batches that are made of them.

    `items` are what must stay in one batch, in the texts' order; positions count them.
    """

    tokens: Sequence[TokenisedNote]
    items: Sequence[Item]
    tokenizer: NoteTokenizer
    windowing: Windowing

    @classmethod
    def of(
        cls,
        tokens: Sequence[TokenisedNote],
        tokenizer: NoteTokenizer,
        windowing: Windowing,
        *,
        whole_notes: bool,
    ) -> WindowedNotes:
        """The windows of tokens; with `whole_notes` those of a text stay together."""
        items = build_items(
            tokens, windowing, n_special=tokenizer.n_special, whole_notes=whole_notes
        )
        return cls(tokens, items, tokenizer, windowing)

    def plan(
        self, budget: int, *, seed: int | None = None, of: Sequence[int] | None = None
    ) -> list[list[int]]:
        """Batches of like length, of all items or `of` some; see `plan_batches`."""
        positions = range(len(self.items)) if of is None else of
        plan = plan_batches(
            [self.items[position] for position in positions],
            budget=budget,
            n_special=self.tokenizer.n_special,
            seed=seed,
        )
        return [[positions[i] for i in batch] for batch in plan]

    def plan_mixed(self, budget: int, *, seed: int) -> list[list[int]]:
        """Batches of whatever length; see `plan_mixed_batches`."""
        n_special = self.tokenizer.n_special
        return plan_mixed_batches(self.items, budget=budget, n_special=n_special, seed=seed)

    def batch(self, positions: Sequence[int]) -> WindowBatch:
        """The tensors of some items."""
        items = [self.items[position] for position in positions]
        return collate(items, self.tokens, self.tokenizer, self.windowing)

    def batches(self, budget: int) -> Iterator[WindowBatch]:
        """All of them, the longest first."""
        for positions in self.plan(budget):
            yield self.batch(positions)


def build_items(
    notes: Sequence[TokenisedNote], windowing: Windowing, *, n_special: int, whole_notes: bool
) -> list[Item]:
    """One item a note (`whole_notes`) or one a window, in note order."""
    items: list[Item] = []
    for i, note in enumerate(notes):
        windows = windowing.windows(len(note), n_special=n_special)
        if whole_notes:
            items.append(Item(i, windows))
        else:
            items.extend(Item(i, (window,)) for window in windows)
    return items


def plan_batches(
    items: Sequence[Item], *, budget: int, n_special: int, seed: int | None = None
) -> list[list[int]]:
    """Positions in `items`, batch by batch.

    A batch's padded size, windows × (longest window + special tokens), stays within `budget`
    tokens unless a single item is larger; every item is in exactly one batch. Without `seed`
    the longest batches come first (what does not fit in memory shows at once); with one, the
    lengths are jittered and the batches shuffled, the same for the same seed.
    """
    if budget < 1:
        raise ValueError(f"a batch's budget must be at least 1 token, not {budget}")
    lengths = np.array([item.longest + n_special for item in items], dtype=np.float64)
    rng = None if seed is None else np.random.default_rng(seed)
    keys = lengths
    if rng is not None:
        keys = lengths * (1 + LENGTH_JITTER * rng.random(len(items)))
    order = np.argsort(-keys, kind="stable")
    batches: list[list[int]] = []
    current: list[int] = []
    rows, longest = 0, 0
    for position in order.tolist():
        n = len(items[position].windows)
        width = int(max(longest, lengths[position]))
        if current and (rows + n) * width > budget:
            batches.append(current)
            current, rows, width = [], 0, int(lengths[position])
        current.append(position)
        rows, longest = rows + n, width
    if current:
        batches.append(current)
    if rng is not None:
        rng.shuffle(batches)
    return batches


def plan_mixed_batches(
    items: Sequence[Item], *, budget: int, n_special: int, seed: int
) -> list[list[int]]:
    """Positions in `items`, batch by batch, whatever their lengths: for optimiser steps.

    Where a note has one label, label and length often go together (a chief complaint is
    short, a history long): batches of like length then hold one label each, and training
    lurches from label to label. These batches are drawn at random, up to `budget` real
    tokens; `plan_batches` then divides a step's items into parts of like length.
    """
    batches: list[list[int]] = []
    filled = budget + 1
    for position in np.random.default_rng(seed).permutation(len(items)).tolist():
        cost = sum(len(window) + n_special for window in items[position].windows)
        if filled + cost > budget:
            batches.append([])
            filled = 0
        batches[-1].append(position)
        filled += cost
    return batches


def split_batch(items: Sequence[Item], batch: Sequence[int], parts: int) -> list[list[int]]:
    """A batch dealt into `parts` shares of like cost (some empty where it has fewer items).

    Largest first to the share with least so far, so the result depends on nothing but the
    batch: one process with four shares in turn and four processes with one share each see
    the same shares.
    """
    shares: list[list[int]] = [[] for _ in range(parts)]
    costs = [0] * parts
    for position in sorted(batch, key=lambda p: (-_cost(items[p]), p)):
        share = costs.index(min(costs))
        shares[share].append(position)
        costs[share] += _cost(items[position])
    return shares


def _cost(item: Item) -> int:
    return sum(len(window) for window in item.windows) + 1


def collate(
    items: Sequence[Item],
    notes: Sequence[TokenisedNote],
    tokenizer: NoteTokenizer,
    windowing: Windowing,
    *,
    multiple_of: int = SHAPE_MULTIPLE,
) -> WindowBatch:
    """Pad the windows of `items` to the longest, rounded up to a multiple of `multiple_of`.

    Never beyond a whole window, which may be all that the encoder's positions reach.
    """
    import torch

    prefix, suffix = tokenizer.prefix_ids, tokenizer.suffix_ids
    rows = [(item.note, window) for item in items for window in item.windows]
    width = max(len(window) for _, window in rows) + tokenizer.n_special
    width = max(width, min(math.ceil(width / multiple_of) * multiple_of, windowing.length))
    ids = np.full((len(rows), width), tokenizer.pad_id, dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=np.int64)
    owned = np.zeros((len(rows), width), dtype=bool)
    order: dict[int, int] = {}
    index = np.empty(len(rows), dtype=np.int64)
    for row, (note, window) in enumerate(rows):
        n = len(window)
        first = len(prefix)
        ids[row, :first] = prefix
        ids[row, first : first + n] = notes[note].ids[window.start : window.stop]
        ids[row, first + n : first + n + len(suffix)] = suffix
        mask[row, : n + tokenizer.n_special] = 1
        owned[
            row, first + window.own_start - window.start : first + window.own_stop - window.start
        ] = True
        index[row] = order.setdefault(note, len(order))
    return WindowBatch(
        torch.from_numpy(ids),
        torch.from_numpy(mask),
        torch.from_numpy(owned),
        torch.from_numpy(index),
        tuple(order),
        tuple(window for _, window in rows),
    )
