"""Which names stand in a text, whole or in part: a dictionary of thousands, read at once.

A name is the share of its words that the text has, a word the share of its runs of five
characters, so that *fractures* still are mostly *fracture*, and a compound is found by its parts.
Rare runs count more (their idf over the names). Nothing is learnt from notes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_tl.display.discreet import Discreet
from clinical_tl.errors import TaskError
from clinical_tl.text.pieces import pieces
from clinical_tl.text.words import word_bounds

if TYPE_CHECKING:
    from clinical_tl.estimators.features import Floats, Ints

RUN = 5
"""Characters, the blanks around a word among them. On CodiEsp's dev notes, categories by folds:
micro-F1 0.616 and MAP 0.643, with whole words 0.610 and 0.638."""
HALF = 0.5
"""The share of a word's runs that a name must have for the word to be evidence of it."""


@dataclass(frozen=True, eq=False, repr=False)
class ReadText(Discreet):
    """A text as an index reads it.

    `pieces` are its stretches, `words` (start, end, piece, columns of its runs); `runs` is sparse,
    shape (pieces, runs), 1 where a piece has a run.
    """

    pieces: tuple[tuple[int, int], ...]
    words: tuple[tuple[int, int, int, tuple[int, ...]], ...]
    runs: Any


@dataclass(frozen=True, eq=False, repr=False)
class FoundNames(Discreet):
    """How much of some codes' names stands in one piece of a text, each array of shape (codes,).

    `coverage` is the share in [0, 1] of the name that is covered best, `names` the row of that
    name, `pieces` the piece.
    """

    coverage: Floats
    names: Ints
    pieces: Ints


class NameIndex:
    """Finds codes by their names.

    >>> index = NameIndex({"J45": ["asthma"], "R07": ["chest pain", "thoracic pain"]})
    >>> text = "Woke with pain in the chest. Father: asthma."
    >>> read = index.read(text)
    >>> index.coverage(read).round(2).tolist()
    [1.0, 1.0]
    >>> found = index.found(read, [0, 1])
    >>> [[text[start:end] for start, end in [index.evidence(read, found, i)]] for i in (0, 1)]
    [['asthma'], ['pain in the chest']]
    """

    def __init__(self, names: Mapping[str, Sequence[str]]) -> None:
        """Index the names of each code.

        Raises `TaskError` where there is none.
        """
        from scipy.sparse import csr_array

        self.codes = tuple(names)
        pairs = [(row, name) for row, own in enumerate(names.values()) for name in own]
        if not pairs:
            raise TaskError("no code has a name; an open code set needs names to find codes by")
        self.names = tuple(name for _, name in pairs)
        owners: Ints = np.array([row for row, _ in pairs], dtype=np.int64)
        self.owners = owners
        self._columns: dict[str, int] = {}
        self._known: dict[str, tuple[int, ...]] = {}
        rows: list[int] = []
        columns: list[int] = []
        for row, name in enumerate(self.names):
            own = dict.fromkeys(
                run for start, end in word_bounds(name) for run in self._grown(name[start:end])
            )
            rows += [row] * len(own)
            columns += own
        shape = len(self.names), len(self._columns)
        counts = csr_array((np.ones(len(rows), dtype=np.float32), (rows, columns)), shape=shape)
        n_with = np.bincount(counts.indices, minlength=shape[1])
        idf = np.log((1 + shape[0]) / (1 + n_with)) + 1
        counts.data = idf[counts.indices].astype(np.float32)
        whole = counts.sum(axis=1)
        counts.data /= np.repeat(whole, np.diff(counts.indptr)).astype(np.float32)
        self._shares = counts

    @cached_property
    def positions(self) -> Mapping[str, int]:
        """Code → its place."""
        return {code: i for i, code in enumerate(self.codes)}

    @cached_property
    def first_names(self) -> Ints:
        """Where the names of each code begin, shape (codes + 1,); each code's stand together."""
        found: Ints = np.searchsorted(self.owners, np.arange(len(self.codes) + 1))
        return found

    def read(self, text: str) -> ReadText:
        """A text, ready to be looked into."""
        from scipy.sparse import csr_array

        bounds = tuple(pieces(text))
        words = []
        rows: list[int] = []
        columns: list[int] = []
        for piece, (start, end) in enumerate(bounds):
            own: set[int] = set()
            for first, stop in word_bounds(text[start:end]):
                runs = self._runs(text[start + first : start + stop])
                words.append((start + first, start + stop, piece, runs))
                own.update(runs)
            rows += [piece] * len(own)
            columns += sorted(own)
        shape = len(bounds), len(self._columns)
        ones = np.ones(len(rows), dtype=np.float32)
        return ReadText(bounds, tuple(words), csr_array((ones, (rows, columns)), shape=shape))

    def coverage(self, read: ReadText) -> Floats:
        """How much of each code's best name stands anywhere in the text, shape (codes,)."""
        there = np.zeros(len(self._columns), dtype=np.float32)
        there[read.runs.indices] = 1.0
        found: Floats = np.zeros(len(self.codes))
        np.maximum.at(found, self.owners, self._shares @ there)
        return found

    def found(self, read: ReadText, codes: Sequence[int] | Ints) -> FoundNames:
        """How much of the best name of some codes stands in one piece of the text."""
        n = len(codes)
        coverage = np.zeros(n)
        names = np.full(n, -1, dtype=np.int64)
        places = np.full(n, -1, dtype=np.int64)
        rows, owners = self.names_of(codes)
        if len(rows) and len(read.pieces):
            shares = np.asarray((self._shares[rows] @ read.runs.T).todense())
            best, where = shares.max(axis=1), shares.argmax(axis=1)
            # The last one written stays: of each code the best, of equals the first name.
            order = np.lexsort((-np.arange(len(rows)), best))
            coverage[owners[order]] = best[order]
            names[owners[order]], places[owners[order]] = rows[order], where[order]
        return FoundNames(coverage.clip(0.0, 1.0), names, places)

    def names_of(self, codes: Sequence[int] | Ints) -> tuple[Ints, Ints]:
        """The rows of the names of some codes, and for each the place of its code among them."""
        first = self.first_names
        rows = [np.arange(first[code], first[code + 1]) for code in codes]
        owners = np.repeat(np.arange(len(rows)), [len(own) for own in rows])
        return np.concatenate(rows) if rows else np.zeros(0, dtype=np.int64), owners

    def evidence(self, read: ReadText, found: FoundNames, place: int) -> tuple[int, int] | None:
        """From the first to the last word of the name in its piece; `None` where there is none."""
        name, piece = int(found.names[place]), int(found.pieces[place])
        if name < 0 or not found.coverage[place]:
            return None
        begin, stop = self._shares.indptr[name : name + 2]
        own = set(self._shares.indices[begin:stop].tolist())
        bounds = [
            (start, end)
            for start, end, where, runs in read.words
            if where == piece and runs and len(own.intersection(runs)) >= HALF * len(runs)
        ]
        return (bounds[0][0], bounds[-1][1]) if bounds else None

    def _grown(self, word: str) -> tuple[int, ...]:
        """The columns of a word's runs, new ones made."""
        word = word.lower()
        if word not in self._known:
            self._known[word] = tuple(
                self._columns.setdefault(run, len(self._columns)) for run in _runs(word)
            )
        return self._known[word]

    def _runs(self, word: str) -> tuple[int, ...]:
        """The columns of a word's runs, those that no name has left out.

        What notes say is not kept: a note's words are looked up again each time.
        """
        word = word.lower()
        if word in self._known:
            return self._known[word]
        return tuple(self._columns[run] for run in _runs(word) if run in self._columns)


def _runs(word: str) -> Iterator[str]:
    """Runs of a word in blanks; signs alone say nothing."""
    if not any(map(str.isalnum, word)):
        return
    padded = f" {word} "
    for start in range(max(1, len(padded) - RUN + 1)):
        yield padded[start : start + RUN]
