"""How differently two sets of notes are written: words, tokens, lengths, sections."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from clinical_tl.errors import NoteError
from clinical_tl.estimators.checks import check_at_least
from clinical_tl.estimators.discrepancy import jensen_shannon
from clinical_tl.estimators.features import Ints

_LETTERS = re.compile(r"[^\W\d_]+")
_WORD = re.compile(r"\w+")
# A heading starts a line: up to six words before a colon ("Past medical history:", "S:"),
# whatever follows it but a digit ("At 10:30"), or a line of one to six words in capitals.
_HEADING = re.compile(
    r"^[ \t]*+(?:([^\W\d_][\w/&()'’-]*(?:[ \t]+[\w/&()'’-]+){0,5})[ \t]*:(?!\d)"
    r"|((?=[^\n]*[^\W\d_]{2})[^\W\d_a-z][^\Wa-z]*(?:[ \t]+[^\Wa-z]+){0,5})[ \t]*$)",
    re.MULTILINE,
)
NO_HEADING = "(none)"
RARE_HEADINGS = "(rare)"


class TokenisedText(Protocol):
    """The tokens of a text: `ids`, and `starts` and `ends` in characters, shape (tokens,)."""

    @property
    def ids(self) -> Ints:
        """Numbers in the tokenizer's vocabulary."""
        ...

    @property
    def starts(self) -> Ints:
        """First characters, white space left out."""
        ...

    @property
    def ends(self) -> Ints:
        """Ends, exclusive; equal to the start for a token without a visible character."""
        ...


class TextTokenizer(Protocol):
    """What is asked of a tokenizer; `text.tokenizer.NoteTokenizer` satisfies it."""

    def encode(self, texts: Sequence[str]) -> Sequence[TokenisedText]:
        """All tokens of each text, nothing truncated."""
        ...


@dataclass(frozen=True)
class VocabularyOverlap:
    """`jaccard`: distinct words that both sides have, of those that either has.

    `known` is the share of the target's words, counted as often as they occur, that the
    source has too.
    """

    jaccard: float
    known: float
    source_words: int
    target_words: int


@dataclass(frozen=True)
class TokenizerFit:
    """How a tokenizer cuts up the words of texts.

    `fertility` is tokens a word (1 at best), `split` the share of words cut into several
    tokens, `out_of_vocabulary` the share of words that hold an unknown token.
    """

    words: int
    fertility: float
    split: float
    out_of_vocabulary: float


@dataclass(frozen=True)
class LengthShift:
    """Median lengths, target to source, and the two-sample Kolmogorov–Smirnov test."""

    source_median: float
    target_median: float
    ratio: float
    statistic: float
    p_value: float


@dataclass(frozen=True)
class Heading:
    """A section heading with how many of its occurrences are of each side, as shares."""

    name: str
    source: float
    target: float


@dataclass(frozen=True)
class SectionShift:
    """The Jensen–Shannon divergence of the sides' headings in bits, and the headings.

    `headings` are the most frequent first; `rare` counts the distinct headings that stand in
    too few notes to be named.
    """

    divergence: float
    headings: tuple[Heading, ...]
    rare: int


def vocabulary_overlap(source: Iterable[str], target: Iterable[str]) -> VocabularyOverlap:
    """The words that two sets of texts share; a word is a run of letters, case ignored.

    Both figures grow with the size of the sets: compare only sets of like sizes.

    Raises `NoteError` for a side without a word.

    >>> vocabulary_overlap(["fever and cough"], ["no fever, no cough, no rash"])
    VocabularyOverlap(jaccard=0.4, known=0.3333333333333333, source_words=3, target_words=4)
    """
    counts = [
        Counter(word.lower() for text in texts for word in _LETTERS.findall(text))
        for texts in (source, target)
    ]
    for name, words in zip(("source", "target"), counts, strict=True):
        if not words:
            raise NoteError(f"the {name} texts have no word; give notes with text")
    ours, theirs = counts
    both = ours.keys() & theirs.keys()
    return VocabularyOverlap(
        jaccard=len(both) / len(ours.keys() | theirs.keys()),
        known=sum(theirs[word] for word in both) / theirs.total(),
        source_words=len(ours),
        target_words=len(theirs),
    )


def tokenizer_fit(
    tokenizer: TextTokenizer, texts: Sequence[str], *, unknown_id: int | None
) -> TokenizerFit:
    """Fertility, share of split words (Rust et al. 2021, sec. 3.2) and out-of-vocabulary rate.

    A word is a run of letters, digits and underscores. A token counts for each word that it
    covers a character of; punctuation is left out, since tokenizers differ in what they join.

    Args:
        tokenizer: gives each text's tokens with their characters.
        texts: the texts, at least one word in all.
        unknown_id: the number of the unknown token; `None` for a tokenizer that has none.

    Raises:
        NoteError: no word at all.
    """
    words = tokens = split = unknown = 0
    for text, encoded in zip(texts, tokenizer.encode(texts), strict=True):
        bounds = np.array([m.span() for m in _WORD.finditer(text)], dtype=np.int64).reshape(-1, 2)
        visible = encoded.ends > encoded.starts
        starts, ends, ids = encoded.starts[visible], encoded.ends[visible], encoded.ids[visible]
        # Words do not overlap, so a token covers a run of them (none for punctuation).
        first = np.searchsorted(bounds[:, 1], starts, side="right")
        last = np.searchsorted(bounds[:, 0], ends, side="left")
        in_word = _coverage(first, last, len(bounds))
        lost = ids == unknown_id if unknown_id is not None else np.zeros(len(ids), dtype=bool)
        words += len(bounds)
        tokens += int(in_word.sum())
        split += int((in_word > 1).sum())
        unknown += int((_coverage(first[lost], last[lost], len(bounds)) > 0).sum())
    if not words:
        raise NoteError(f"the {len(texts)} texts have no word; give notes with text")
    return TokenizerFit(words, tokens / words, split / words, unknown / words)


def length_shift(source: npt.ArrayLike, target: npt.ArrayLike) -> LengthShift:
    """How differently long two sets of notes are.

    Args:
        source: (n,) lengths, in tokens or any unit.
        target: (m,) lengths in the same unit.

    Raises:
        NoteError: an empty side, a negative length, a source median of 0.
    """
    from scipy.stats import ks_2samp

    sides = [np.asarray(lengths, dtype=np.float64) for lengths in (source, target)]
    for name, lengths in zip(("source", "target"), sides, strict=True):
        if lengths.ndim != 1 or not len(lengths) or not (lengths >= 0).all():
            raise NoteError(
                f"the {name} lengths have the shape {lengths.shape}; allowed: (n,) with n at "
                "least 1, none negative"
            )
    ours, theirs = (float(np.median(lengths)) for lengths in sides)
    if not ours:
        raise NoteError("at least half of the source notes are empty; leave empty notes out")
    test = ks_2samp(*sides)
    return LengthShift(ours, theirs, theirs / ours, float(test.statistic), float(test.pvalue))


def section_shift(
    source: Sequence[str], target: Sequence[str], *, min_notes: int = 5
) -> SectionShift:
    """How differently the sections of two sets of notes are headed.

    A heading starts a line and is either up to six words before a colon or a line of up to
    six words in capitals; case is ignored. A note without any counts as one `(none)`.
    Headings in fewer than `min_notes` notes of both sides together are counted as one,
    `(rare)`, and never named: what few notes have may be a person's name.

    Raises:
        NoteError: a side without notes.
        ConfigError: `min_notes` below 2.
    """
    check_at_least(2, min_notes=min_notes)
    found = [[_headings(text) for text in texts] for texts in (source, target)]
    for name, notes in zip(("source", "target"), found, strict=True):
        if not notes:
            raise NoteError(f"there are no {name} notes; give at least one")
    in_notes = Counter(name for notes in found for names in notes for name in set(names))
    rare = {name for name, n in in_notes.items() if n < min_notes and name != NO_HEADING}
    counts = [
        Counter(RARE_HEADINGS if name in rare else name for names in notes for name in names)
        for notes in found
    ]
    names = sorted(counts[0].keys() | counts[1].keys())
    ours, theirs = ([side[name] for name in names] for side in counts)
    shares = [
        Heading(name, n / sum(ours), m / sum(theirs))
        for name, n, m in zip(names, ours, theirs, strict=True)
    ]
    return SectionShift(
        divergence=jensen_shannon(ours, theirs),
        headings=tuple(sorted(shares, key=lambda h: (-(h.source + h.target), h.name))),
        rare=len(rare),
    )


def _headings(text: str) -> list[str]:
    found = [
        " ".join((m[1] or m[2]).lower().split())
        for m in _HEADING.finditer(text)
        # Capitals of any script: a sentence without a Latin letter is not in capitals yet.
        if m[1] or m[2].isupper()
    ]
    return found or [NO_HEADING]


def _coverage(first: Ints, last: Ints, n: int) -> Ints:
    """How many of the runs [first, last) cover each of n places; an empty run covers none."""
    filled = first < last
    steps = np.zeros(n + 1, dtype=np.int64)
    np.add.at(steps, first[filled], 1)
    np.add.at(steps, last[filled], -1)
    covered: Ints = np.cumsum(steps)[:n]
    return covered
