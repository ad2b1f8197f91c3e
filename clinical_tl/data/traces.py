"""What notes are known by when they are met again: patients, texts, runs of words."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from clinical_tl.schema import Note
from clinical_tl.text.words import split_words

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    Pairs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]

SHINGLE_WORDS = 5
# The smallest Jaccard similarity of shingles at which two texts are near-duplicates.
NEAR_DUPLICATE = 0.8
# Shorter texts ("No known drug allergies.") are many patients' own.
FEWEST_WORDS = 20
# Of all notes together: beyond, comparing runs of words would take gigabytes and minutes.
MOST_WORDS = 20_000_000
# Rows of the first side, and pairs, that are compared at a time.
BLOCK_ROWS = 2_000
BLOCK_PAIRS = 200_000


class Forgetful:
    """What lives in memory alone: copies are the thing itself, and pickled it comes back as `None`.

    Whoever has a note, or a patient's number, could find out from traces whether it is among
    those of a model. So no file may hold them.
    """

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _forgotten, ()


def _forgotten() -> None:
    return None


@dataclass(frozen=True, eq=False, repr=False)
class Traces(Forgetful):
    """What a set of notes is known by; no text.

    `ids`, `patients` (`None` where not known), `texts` (`text_key`), `n_words` and `shingles`
    (each text's distinct runs of five words as 64-bit numbers, ascending; `None` where they were
    left out) have one entry a note.

    The numbers of shingles are those of this process (Python's salted `hash`).
    """

    ids: tuple[str, ...]
    patients: tuple[str | None, ...]
    texts: tuple[bytes, ...]
    n_words: NDArray[np.int64]
    shingles: tuple[NDArray[np.uint64], ...] | None

    @classmethod
    def of(cls, notes: Sequence[Note], *, shingles: bool = True) -> Traces:
        """The traces of notes; `shingles=False` leaves the runs of words out."""
        normal = [normal_text(note.text) for note in notes]
        return cls(
            tuple(note.note_id for note in notes),
            tuple(note.patient_id for note in notes),
            tuple(_digest(text) for text in normal),
            np.array([len(split_words(text)) for text in normal], dtype=np.int64),
            tuple(map(_shingles, normal)) if shingles else None,
        )

    def __len__(self) -> int:
        return len(self.ids)

    def __add__(self, other: Traces) -> Traces:
        both = self.shingles is not None and other.shingles is not None
        return Traces(
            self.ids + other.ids,
            self.patients + other.patients,
            self.texts + other.texts,
            np.concatenate([self.n_words, other.n_words]),
            (self.shingles or ()) + (other.shingles or ()) if both else None,
        )

    def other_than(self, known: Traces) -> Traces:
        """The traces without those of notes that are known, by patient and text."""
        old = set(zip(known.patients, known.texts, strict=True))
        kept = [
            i
            for i, pair in enumerate(zip(self.patients, self.texts, strict=True))
            if pair not in old
        ]
        return Traces(
            tuple(self.ids[i] for i in kept),
            tuple(self.patients[i] for i in kept),
            tuple(self.texts[i] for i in kept),
            self.n_words[kept],
            None if self.shingles is None else tuple(self.shingles[i] for i in kept),
        )


def normal_text(text: str) -> str:
    """The text without what copies differ in: case, white space, ways to write a character."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def text_key(text: str) -> bytes:
    """16 bytes that notes share if their texts are one but for `normal_text`."""
    return _digest(normal_text(text))


def _digest(normal: str) -> bytes:
    return hashlib.blake2b(normal.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _shingles(normal: str) -> NDArray[np.uint64]:
    words = np.array([hash(word) for word in split_words(normal)], dtype=np.int64).view(np.uint64)
    padded = np.append(words, np.zeros(max(0, SHINGLE_WORDS - len(words)), dtype=np.uint64))
    count = len(padded) - SHINGLE_WORDS + 1
    hashed = np.zeros(count, dtype=np.uint64)
    for shift in range(SHINGLE_WORDS):
        # A polynomial modulo 2**64; the multiplier is the 64-bit golden ratio.
        hashed = (hashed + padded[shift : shift + count]) * np.uint64(0x9E3779B97F4A7C15)
        hashed ^= hashed >> np.uint64(29)
    return np.unique(hashed)


def near_pairs(first: Traces, second: Traces, threshold: float) -> list[tuple[int, int, float]]:
    """Pairs of notes with similar but not identical texts, as `similar_pairs` gives them."""
    sides = _ranked(first.shingles or (), second.shingles or ())
    return [
        (row, column, similarity)
        for row, column, similarity in similar_pairs(*sides, threshold)
        if first.texts[row] != second.texts[column]
    ]


def near_notes(first: Traces, second: Traces, threshold: float) -> NDArray[np.bool_]:
    """Which notes of `second` are similar to one of `first`, identical ones included; (notes,)."""
    # Texts that occur often are looked for once.
    (own, _), (others, numbers) = _distinct(first), _distinct(second)
    sides = _ranked(
        [first.shingles[i] for i in own] if first.shingles else (),
        [second.shingles[i] for i in others] if second.shingles else (),
    )
    found = np.zeros(len(others), dtype=np.bool_)
    for _, columns, _ in _blocks(*sides, threshold, done=found):
        found[columns] = True
    return found[numbers]


def near_groups(notes: Traces, threshold: float, *, fewest_words: int) -> list[int | None]:
    """A number for each note, the same for notes whose texts are similar, directly or in a chain.

    `None` for texts of fewer words, and for those like no other.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    positions, of = _distinct(notes)
    long = [i for i, at in enumerate(positions) if notes.n_words[at] >= fewest_words]
    sets, _ = _ranked([(notes.shingles or ())[positions[i]] for i in long], ())
    pairs = [(rows, columns) for rows, columns, _ in _blocks(sets, sets, threshold)]
    if not pairs:
        return [None] * len(notes)
    rows, columns = (np.concatenate(side) for side in zip(*pairs, strict=True))
    links = csr_array((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(len(long),) * 2)
    _, numbers = connected_components(links, directed=False)
    size = np.bincount(numbers)
    group = {i: int(n) for i, n in zip(long, numbers, strict=True) if size[n] > 1}
    return [group.get(i) for i in of.tolist()]


def _ranked(
    first: Sequence[NDArray[np.uint64]], second: Sequence[NDArray[np.uint64]]
) -> tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]]:
    """The sets with members numbered: the rarer, the smaller."""
    raw = [*first, *second]
    if not raw:
        return [], []
    _, inverse, counts = np.unique(np.concatenate(raw), return_inverse=True, return_counts=True)
    rank = np.empty(len(counts), dtype=np.int64)
    rank[np.argsort(counts, kind="stable")] = np.arange(len(counts))
    ends = np.cumsum([len(one) for one in raw])[:-1]
    sets = [np.sort(one) for one in np.split(rank[inverse], ends)]
    return sets[: len(first)], sets[len(first) :]


def similar_pairs(
    first: Sequence[NDArray[np.int64]], second: Sequence[NDArray[np.int64]], threshold: float
) -> list[tuple[int, int, float]]:
    """All pairs of sets, one from each side, whose Jaccard similarity reaches the threshold.

    Exact. Two sets that similar must share one of their rarest members, so only pairs that do
    are compared (prefix filter: Bayardo, Ma & Srikant, Scaling up all pairs similarity search,
    2007).

    Args:
        first: sets as ascending distinct numbers, the rarer members having the smaller ones.
        second: the other side's sets.
        threshold: in (0, 1].

    Returns:
        (position in `first`, position in `second`, similarity), ordered by position.
    """
    return [
        pair
        for rows, columns, similarity in _blocks(first, second, threshold)
        for pair in zip(rows.tolist(), columns.tolist(), similarity.tolist(), strict=True)
    ]


def _blocks(
    first: Sequence[NDArray[np.int64]],
    second: Sequence[NDArray[np.int64]],
    threshold: float,
    *,
    done: NDArray[np.bool_] | None = None,
) -> Iterator[Pairs]:
    """The pairs of `similar_pairs` in parts of bounded memory.

    `done`, shape (second,), may be changed between the parts: sets to look for no longer.
    """
    if not len(first) or not len(second):
        return
    width = 1 + max((int(one[-1]) for one in (*first, *second) if len(one)), default=0)
    prefixes = [_matrix([_prefix(s, threshold) for s in side], width) for side in (first, second)]
    whole = [_matrix(side, width) for side in (first, second)]
    sizes = [np.array([len(s) for s in side], dtype=np.int64) for side in (first, second)]
    others = prefixes[1].T.tocsr()
    for start in range(0, len(first), BLOCK_ROWS):
        shared = (prefixes[0][start : start + BLOCK_ROWS] @ others).tocoo()
        order = np.lexsort((shared.col, shared.row))
        rows, columns = (place[order].astype(np.int64) for place in (shared.row, shared.col))
        rows += start
        a, b = sizes[0][rows], sizes[1][columns]
        # Sets of very different size can't be similar.
        possible = np.minimum(a, b) >= threshold * np.maximum(a, b) - 1e-9
        rows, columns = rows[possible], columns[possible]
        for at in range(0, len(rows), BLOCK_PAIRS):
            r, c = rows[at : at + BLOCK_PAIRS], columns[at : at + BLOCK_PAIRS]
            if done is not None:
                open_ = ~done[c]
                r, c = r[open_], c[open_]
            common = np.asarray(whole[0][r].multiply(whole[1][c]).sum(axis=1)).ravel()
            similarity = common / (sizes[0][r] + sizes[1][c] - common)
            kept = similarity >= threshold
            yield r[kept], c[kept], similarity[kept]


def _prefix(members: NDArray[np.int64], threshold: float) -> NDArray[np.int64]:
    # The small allowance keeps rounding of threshold * size from cutting a prefix too short.
    return members[: len(members) - int(np.ceil(threshold * len(members) - 1e-9)) + 1]


def _matrix(sets: Sequence[NDArray[np.int64]], width: int) -> csr_matrix:
    from scipy.sparse import csr_matrix

    columns = np.concatenate(sets)
    starts = np.cumsum([0] + [len(one) for one in sets])
    ones = np.ones(len(columns), dtype=np.int32)
    return csr_matrix((ones, columns, starts), shape=(len(sets), width))


def _distinct(side: Traces) -> tuple[list[int], NDArray[np.int64]]:
    """Positions of the first note of each text, and of each note the number of its text."""
    numbers: dict[bytes, int] = {}
    of = np.array([numbers.setdefault(key, len(numbers)) for key in side.texts], dtype=np.int64)
    first: dict[bytes, int] = {}
    for position, key in enumerate(side.texts):
        first.setdefault(key, position)
    return list(first.values()), of
