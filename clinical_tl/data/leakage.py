"""What two sides of a split share: groups, identical texts, near-duplicates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from clinical_tl.data.notes import NotesLike, as_notes
from clinical_tl.data.traces import NEAR_DUPLICATE, Traces, near_pairs
from clinical_tl.display.discreet import Discreet
from clinical_tl.errors import ConfigError, shown_id, shown_value

GROUP_COLUMNS = ("patient_id", "note_id")
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
            case, whitespace and ways to write a character (Unicode's NFKC).
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
    splits: Mapping[str, NotesLike | Sequence[str]],
    *,
    by: str = "patient_id",
    near_duplicates: float | None = NEAR_DUPLICATE,
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
        NoteError: a side that is no sequence of notes.

    Example:
        >>> from clinical_tl import Note
        >>> train = [Note("a", "Asthma, stable on the inhaler.", patient_id="p1")]
        >>> test = [Note("b", "asthma,  stable on the inhaler.", patient_id="p2")]
        >>> print(check_leakage({"train": train, "test": test}))
        leakage between the sides: 0 shared groups (patient_id);
            1 identical texts, e.g. train a ~ test b; 0 near-duplicate pairs
    """
    check_by(by)
    if near_duplicates is not None and not 0 < near_duplicates <= 1:
        raise ConfigError(f"near_duplicates={near_duplicates}; allowed: (0, 1], or None")
    records = {side: as_notes(notes) for side, notes in splits.items()}
    traces = {
        side: Traces.of(notes, shingles=near_duplicates is not None)
        for side, notes in records.items()
    }
    near: list[Shared] = []
    for a, b in combinations(traces, 2) if near_duplicates is not None else ():
        one, other = traces[a], traces[b]
        for row, column, similarity in near_pairs(one, other, near_duplicates or 1.0):
            near.append(Shared(a, b, (one.ids[row],), (other.ids[column],), similarity))
    groups = {side: [getattr(note, by) for note in notes] for side, notes in records.items()}
    ids = {side: own.ids for side, own in traces.items()}
    texts = {side: own.texts for side, own in traces.items()}
    return LeakageReport(by, _shared(groups, ids), _shared(texts, ids), tuple(near))


def check_by(by: str) -> None:
    """Raises `ConfigError` unless `by` is a column that can make groups."""
    if by not in GROUP_COLUMNS:
        raise ConfigError(f"by={shown_value(by)}; allowed: {list(GROUP_COLUMNS)}")


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
