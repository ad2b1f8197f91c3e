"""Sentences with mentions, and the writer that puts them into a text with exact offsets."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from clinical_tl.schema import Relation, Span

_TYPO_WORD = re.compile(r"[A-Za-z]{5,}")
# Letter → one beside it on the keyboard.
_NEIGHBOURS = dict(zip("abcdefghijklmnopqrstuvwxyz", "svxsrghjoklknmpowtdyibectx", strict=True))


@dataclass(frozen=True)
class Piece:
    """A stretch of a sentence: plain text, or a mention if it has a `label`.

    `assertion` is one of `present`, `negated`, `historical`, `family`, `possible`.
    """

    text: str
    label: str | None = None
    assertion: str | None = None
    code: str | None = None


@dataclass(frozen=True)
class Sentence:
    """Pieces in reading order; `links` are (head piece, tail piece, relation label)."""

    pieces: tuple[Piece, ...]
    links: tuple[tuple[int, int, str], ...] = ()

    @property
    def words(self) -> int:
        """How many words separated by white space it has."""
        return len("".join(piece.text for piece in self.pieces).split())


class NoteWriter:
    """Builds a note's text piece by piece and records where its mentions are.

    Misspellings are made while a piece is written, before its offsets are taken, so spans
    are exact. They touch words of five letters or more, never whole capitals, and neither
    add nor remove white space.
    """

    def __init__(self, *, rng: random.Random, typo_rate: float = 0.0) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._spans: list[Span] = []
        self._relations: list[Relation] = []
        self._typo_rate = typo_rate
        self._rng = rng

    @property
    def text(self) -> str:
        """What has been written so far."""
        return "".join(self._parts)

    @property
    def spans(self) -> tuple[Span, ...]:
        """The mentions in reading order, ids `T1`, `T2`, …; they don't overlap."""
        return tuple(self._spans)

    @property
    def relations(self) -> tuple[Relation, ...]:
        """Relations between mentions, by span id."""
        return tuple(self._relations)

    def write(self, text: str) -> None:
        """Append text as it is (headings, bullets, line breaks)."""
        self._parts.append(text)
        self._length += len(text)

    def write_sentence(self, sentence: Sentence) -> None:
        """Append a sentence, record its mentions and the relations between them."""
        ids: dict[int, str] = {}
        for position, piece in enumerate(sentence.pieces):
            start = self._length
            self.write(self._with_typos(piece.text))
            if piece.label is None:
                continue
            ids[position] = f"T{len(self._spans) + 1}"
            self._spans.append(
                Span(
                    start=start,
                    end=self._length,
                    label=piece.label,
                    id=ids[position],
                    concepts=() if piece.code is None else (piece.code,),
                    attributes=() if piece.assertion is None else (("assertion", piece.assertion),),
                )
            )
        for head, tail, label in sentence.links:
            self._relations.append(Relation(ids[head], ids[tail], label))

    def _with_typos(self, text: str) -> str:
        if not self._typo_rate:
            return text
        return _TYPO_WORD.sub(self._maybe_misspelt, text)

    def _maybe_misspelt(self, match: re.Match[str]) -> str:
        word = match.group()
        if word.isupper() or self._rng.random() >= self._typo_rate:
            return word
        return misspelt(word, self._rng)


def misspelt(word: str, rng: random.Random) -> str:
    """The word with one slip of the keyboard, its first letter kept.

    A letter is dropped, doubled, swapped with the next one or replaced by its neighbour.
    """
    at = rng.randrange(1, len(word) - 1)
    slip = rng.randrange(4)
    if slip == 0:
        return word[:at] + word[at + 1 :]
    if slip == 1:
        return word[:at] + word[at] + word[at:]
    if slip == 2 and word[at] != word[at + 1]:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return word[:at] + _NEIGHBOURS[word[at].lower()] + word[at + 1 :]


def choose_ranked(options: Sequence[str], rng: random.Random) -> str:
    """One of the options, the k-th (from 1) with a weight of 1/k: a long tail."""
    return rng.choices(options, weights=[1 / k for k in range(1, len(options) + 1)])[0]
