"""Tags of tokens (`B-Drug`, `I-Drug`, `O`): the schemes they follow, and how they are spelled."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal, get_args

Scheme = Literal["BIO", "IOB1", "IOBES", "BILOU", "IO"]

Runs = list[tuple[int, int, str]]
Wrong = list[tuple[int, str]]

SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
"""In the order in which they are preferred where a corpus is valid in several."""

PREFIXES: dict[str, dict[str, str]] = {
    "BIO": {"B": "B", "I": "I"},
    "IOB1": {"B": "B", "I": "I"},
    "IOBES": {"B": "B", "I": "I", "E": "L", "S": "U"},
    "BILOU": {"B": "B", "I": "I", "L": "L", "U": "U"},
    "IO": {"I": "I"},
}
MARKS_ENDS = ("BILOU", "IOBES")
OUTSIDE = "O"
_BORDER = "\n"

# A column with more kinds of values than this holds no tags, but tokens; labels without marks
# are few.
MOST_TAGS = 10_000
MOST_BARE_LABELS = 100

_MARKS = "[BIESLUMW]"
_STYLES = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?P<mark>{_MARKS})-(?P<label>.+)",
        rf"(?P<mark>{_MARKS})_(?P<label>.+)",
        rf"(?P<mark>{_MARKS.lower()})-(?P<label>.+)",
        rf"(?P<mark>{_MARKS.lower()})_(?P<label>.+)",
        rf"(?P<label>.+)-(?P<mark>{_MARKS})",
        rf"(?P<label>.+)_(?P<mark>{_MARKS})",
    )
)
_LOWER_STYLES = _STYLES[2:4]
_BARE_MARKS = frozenset("BIESLUMW")


def tagged_runs(tags: Sequence[str], scheme: Scheme) -> tuple[Runs, Wrong]:
    """Decodes one sentence's tags.

    Args:
        tags: one a token: `O`, or prefix, dash and label.
        scheme: `BIO` (IOB2: every run begins with B), `IOB1` (B only between adjoining runs of
            one label), `BILOU` or `IOBES` (last and single tokens are marked, too), or `IO` (the
            label alone, or after `I-`: adjoining tokens of one label are one run).

    Returns:
        The runs as (first token, token after the last, label), and what is wrong as (token,
        reason); a wrong tag ends the run before it and belongs to none.
    """
    runs: Runs = []
    wrong: Wrong = []
    start, label = -1, ""
    for i, tag in enumerate([*tags, OUTSIDE]):
        prefix, own = _split(tag, scheme)
        if prefix == "?":
            wrong.append((i, f"a tag that is not of the scheme {scheme}"))
        continues = start >= 0 and prefix in ("I", "L") and own == label
        if start >= 0 and not continues:
            if scheme in MARKS_ENDS:
                wrong.append((i - 1, "a mention that is not closed"))
            runs.append((start, i, label))
            start = -1
        if prefix == "U":
            runs.append((i, i + 1, own))
        elif prefix == "B" or (prefix == "I" and not continues and scheme in ("IOB1", "IO")):
            start, label = i, own
        elif prefix in ("I", "L") and not continues:
            wrong.append((i, "a tag inside a mention that has not begun"))
        elif prefix == "L":
            runs.append((start, i + 1, label))
            start = -1
    return runs, wrong


def _split(tag: str, scheme: Scheme) -> tuple[str, str]:
    if tag == OUTSIDE:
        return OUTSIDE, ""
    prefix, dash, label = tag.partition("-")
    if scheme == "IO" and (not dash or prefix not in _BARE_MARKS):
        return ("I", tag) if tag else ("?", "")
    if not dash or not label or prefix not in PREFIXES[scheme]:
        return "?", ""
    return PREFIXES[scheme][prefix], label


@dataclass(frozen=True)
class Tagging:
    """How a corpus is tagged: made by `SeenTags.tagging`.

    Attributes:
        scheme: the scheme of its tags.
        misfits: how many of its tags don't fit the scheme where they stand.
        style: of six ways to write mark and label, the one of the corpus; `None` if its tags are
            labels alone.
        has_middles: whether `M` is what other schemes call `I`, as in BMES.
        label: the label of tags that are marks alone (`B`, `I`, `O`).
        is_told: whether the tags that were seen tell the scheme.
    """

    scheme: Scheme
    misfits: int = 0
    style: re.Pattern[str] | None = _STYLES[0]
    has_middles: bool = False
    label: str | None = None
    is_told: bool = True

    def runs(self, tags: Sequence[str]) -> tuple[Runs, Wrong]:
        """Decodes one sentence's tags as they are written (`tagged_runs`)."""
        return tagged_runs([self.plain(tag) for tag in tags], self.scheme)

    def plain(self, tag: str) -> str:
        """A tag as `tagged_runs` knows it: `b_Drug`, `Drug-B` and the like as `B-Drug`."""
        if tag == _BORDER or (tag == "o" and self.style in _LOWER_STYLES):
            return OUTSIDE
        if self.label is not None and tag in _BARE_MARKS:
            return f"{self._mark(tag)}-{self.label}"
        found = None if self.style is None else self.style.fullmatch(tag)
        return tag if found is None else f"{self._mark(found['mark'].upper())}-{found['label']}"

    def _mark(self, mark: str) -> str:
        # BMEWO: begin, middle, end, whole.
        return {"W": "S", "M": "I" if self.has_middles else "M"}.get(mark, mark)


@dataclass
class SeenTags:
    """The tags of a corpus, counted with the tags before them: from these its scheme is told.

    Attributes:
        counts: tag → how often it occurs.
        pairs: (tag before, tag) → how often they do.
        is_overfull: whether there are too many kinds for tags; they are then no longer counted.
    """

    counts: Counter[str] = field(default_factory=Counter)
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)
    is_overfull: bool = False

    def add(self, tags: Sequence[str]) -> None:
        """Adds a sentence."""
        if self.is_overfull:
            return
        self.counts.update(tags)
        self.pairs.update(pairwise([_BORDER, *tags, _BORDER]))
        if len(self.counts) > MOST_TAGS:
            self.is_overfull = True
            self.counts.clear()
            self.pairs.clear()

    @property
    def lack_labels(self) -> bool:
        """Whether the tags are marks alone (`B`, `I`, `O`), without labels."""
        marks = self.counts.keys() - {OUTSIDE}
        return bool(marks) and marks <= _BARE_MARKS

    def tagging(self, scheme: Scheme | None = None, label: str | None = None) -> Tagging:
        """How the tags are meant.

        A corpus has one way to write its tags and one scheme: that which fits them all, of several
        `BIO` first, then `IOB1`, `IOBES`, `BILOU`; where none does, the one that fits most, with
        `misfits`. Labels without marks are taken for tags (`IO`) where `O` is among them.

        Args:
            scheme: the scheme, where it is known.
            label: the label of tags that are marks alone.
        """
        shape = self._shape(scheme, label)
        plain: Counter[tuple[str, str]] = Counter()
        for (before, tag), count in self.pairs.items():
            plain[shape.plain(before), shape.plain(tag)] += count
        is_bare = shape.style is None
        open_to: Sequence[Scheme] = [scheme] if scheme else ["IO"] if is_bare else SCHEMES[:-1]
        misfits = {
            name: sum(n for pair, n in plain.items() if not _fits(*pair, name)) for name in open_to
        }
        best = min(open_to, key=misfits.__getitem__)
        return replace(shape, scheme=best, misfits=misfits[best])

    def _shape(self, scheme: Scheme | None, label: str | None) -> Tagging:
        """How the tags are written."""
        counts = Counter({tag: n for tag, n in self.counts.items() if tag != OUTSIDE})
        matched = [sum(n for tag, n in counts.items() if style.fullmatch(tag)) for style in _STYLES]
        style = _STYLES[matched.index(max(matched))]
        is_bare = (
            label is None
            and scheme in (None, "IO")
            and OUTSIDE in self.counts
            and 2 * max(matched) < counts.total()
            and len(counts) <= MOST_BARE_LABELS
            and not self.lack_labels
        )
        marks = counts.keys() if label is not None else set[str]()
        marks = marks | {m["mark"].upper() for tag in counts if (m := style.fullmatch(tag))}
        return Tagging(
            "BIO",
            style=None if is_bare else style,
            has_middles="M" in marks and "I" not in marks,
            label=label,
        )


def _fits(before: str, tag: str, scheme: Scheme) -> bool:
    """Whether a tag may stand after another: in IOB1, B after a mention of its label alone."""
    (first, first_label), (second, label) = _split(before, scheme), _split(tag, scheme)
    goes_on = first in ("B", "I") and first_label == label
    if second == "?":
        return False
    if second in ("I", "L"):
        return goes_on or scheme == "IOB1" or scheme == "IO"
    if scheme in MARKS_ENDS:
        return first not in ("B", "I")
    return goes_on if second == "B" and scheme == "IOB1" else True
