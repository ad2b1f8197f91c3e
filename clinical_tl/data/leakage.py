"""What two sides of a split share: groups, identical texts, near-duplicates."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from clinical_tl.discreet import Discreet
from clinical_tl.errors import ConfigError, shown_id

if TYPE_CHECKING:
    from datasets import Dataset
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

GROUP_COLUMNS = ("patient_id", "note_id")
SHINGLE_WORDS = 5
SHOWN = 3


@dataclass(frozen=True, eq=False, repr=False)
class Shared(Discreet):
    """Something that stands on two sides: the ids of the notes on each."""

    first: str
    second: str
    first_ids: tuple[str, ...]
    second_ids: tuple[str, ...]
    similarity: float = 1.0


@dataclass(frozen=True, eq=False, repr=False)
class LeakageReport(Discreet):
    """What the sides of a split share, as note ids; never any text.

    Attributes:
        by: what makes a group.
        groups: one entry a group (patient) and pair of sides.
        identical: one entry a text and pair of sides; texts are compared without regard to
            case and whitespace.
        near: one entry a pair of notes that are similar but not identical, with their Jaccard
            similarity; empty if it wasn't asked for.
    """

    by: str
    groups: tuple[Shared, ...] = ()
    identical: tuple[Shared, ...] = ()
    near: tuple[Shared, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether the sides share nothing."""
        return not (self.groups or self.identical or self.near)

    def __str__(self) -> str:
        named = [
            (f"shared groups ({self.by})", self.groups),
            ("identical texts", self.identical),
            ("near-duplicate pairs", self.near),
        ]
        lines = [f"{len(found)} {name}{_examples(found)}" for name, found in named]
        return "leakage between the sides: " + "; ".join(lines)


def _examples(found: Sequence[Shared]) -> str:
    if not found:
        return ""
    pairs = [
        f"{one.first} {shown_id(one.first_ids[0])} ~ {one.second} {shown_id(one.second_ids[0])}"
        for one in found[:SHOWN]
    ]
    return f", e.g. {'; '.join(pairs)}"


def check_leakage(
    splits: Mapping[str, Dataset],
    *,
    by: str = "patient_id",
    near_duplicates: float | None = 0.8,
) -> LeakageReport:
    """Looks for what a model could remember from one side and be tested on in another.

    Works on any sides, official ones included. Notes without a group (`patient_id` is `None`)
    are compared by text alone.

    Args:
        splits: side → notes.
        by: `patient_id` or `note_id`.
        near_duplicates: the smallest Jaccard similarity of two notes' sets of 5-word shingles
            (Broder, On the resemblance and containment of documents, 1997) that counts as a
            near-duplicate, in (0, 1]; `None` leaves the search out.

    Raises:
        ConfigError: an unknown `by`, or a similarity out of range.
    """
    check_by(by)
    if near_duplicates is not None and not 0 < near_duplicates <= 1:
        raise ConfigError(f"near_duplicates={near_duplicates}; allowed: (0, 1], or None")
    ids = {side: list(notes["note_id"]) for side, notes in splits.items()}
    texts = {side: [text_key(text) for text in notes["text"]] for side, notes in splits.items()}
    groups = {side: list(notes[by]) for side, notes in splits.items()}
    near: list[Shared] = []
    if near_duplicates is not None:
        sides = list(splits)
        shingles = _shingles([text for side in sides for text in splits[side]["text"]])
        bounds = np.cumsum([0] + [len(splits[side]) for side in sides])
        for i, j in combinations(range(len(sides)), 2):
            a, b = (slice(bounds[k], bounds[k + 1]) for k in (i, j))
            for row, column, similarity in similar_pairs(shingles[a], shingles[b], near_duplicates):
                if texts[sides[i]][row] != texts[sides[j]][column]:
                    pair = (ids[sides[i]][row],), (ids[sides[j]][column],)
                    near.append(Shared(sides[i], sides[j], *pair, similarity))
    return LeakageReport(by, _shared(groups, ids), _shared(texts, ids), tuple(near))


def check_by(by: str) -> None:
    """Raises `ConfigError` unless `by` is a column that can make groups."""
    if by not in GROUP_COLUMNS:
        raise ConfigError(f"by={shown_id(by)!r}; allowed: {list(GROUP_COLUMNS)}")


def text_key(text: str) -> bytes:
    """16 bytes that notes share if their texts differ in case and whitespace at most."""
    normal = " ".join(text.casefold().split())
    return hashlib.blake2b(normal.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _shared(
    keys: Mapping[str, Sequence[str | bytes | None]], ids: Mapping[str, Sequence[str]]
) -> tuple[Shared, ...]:
    members: dict[str | bytes, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for side, column in keys.items():
        for key, note_id in zip(column, ids[side], strict=True):
            if key is not None:
                members[key][side].append(note_id)
    return tuple(
        Shared(a, b, tuple(sides[a]), tuple(sides[b]))
        for sides in members.values()
        for a, b in combinations(sides, 2)
    )


def _shingles(texts: Sequence[str]) -> list[NDArray[np.int64]]:
    """Each text's distinct runs of five words, as numbers: the rarer, the smaller."""
    words: dict[str, int] = {}
    raw = []
    for text in texts:
        numbers = [words.setdefault(word, len(words) + 1) for word in text.casefold().split()]
        padded = np.array(numbers + [0] * (SHINGLE_WORDS - len(numbers)), dtype=np.uint64)
        count = len(padded) - SHINGLE_WORDS + 1
        hashed = np.zeros(count, dtype=np.uint64)
        for shift in range(SHINGLE_WORDS):
            # A polynomial modulo 2**64; the multiplier is the 64-bit golden ratio.
            hashed = (hashed + padded[shift : shift + count]) * np.uint64(0x9E3779B97F4A7C15)
            hashed ^= hashed >> np.uint64(29)
        raw.append(np.unique(hashed))
    if not raw:
        return []
    _, inverse, counts = np.unique(np.concatenate(raw), return_inverse=True, return_counts=True)
    rank = np.empty(len(counts), dtype=np.int64)
    rank[np.argsort(counts, kind="stable")] = np.arange(len(counts))
    ends = np.cumsum([len(one) for one in raw])[:-1]
    return [np.sort(one) for one in np.split(rank[inverse], ends)]


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
    width = 1 + max((int(one[-1]) for one in (*first, *second) if len(one)), default=0)
    shared = _prefixes(first, threshold, width) @ _prefixes(second, threshold, width).T
    rows, columns = shared.nonzero()
    pairs = []
    for row, column in sorted(zip(rows.tolist(), columns.tolist(), strict=True)):
        a, b = first[row], second[column]
        common = len(np.intersect1d(a, b, assume_unique=True))
        similarity = common / (len(a) + len(b) - common)
        if similarity >= threshold:
            pairs.append((row, column, similarity))
    return pairs


def _prefixes(sets: Sequence[NDArray[np.int64]], threshold: float, width: int) -> csr_matrix:
    from scipy.sparse import csr_matrix

    # The small allowance keeps rounding of threshold * size from cutting a prefix too short.
    lengths = [len(s) - int(np.ceil(threshold * len(s) - 1e-9)) + 1 for s in sets]
    prefixes = [s[:n] for s, n in zip(sets, lengths, strict=True)]
    columns = np.concatenate(prefixes) if prefixes else np.empty(0, dtype=np.int64)
    starts = np.cumsum([0] + [len(prefix) for prefix in prefixes])
    ones = np.ones(len(columns), dtype=np.int32)
    return csr_matrix((ones, columns, starts), shape=(len(sets), width))
