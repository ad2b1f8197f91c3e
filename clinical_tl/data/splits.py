"""`split_notes`: train, dev and test without a patient or a text on two sides."""

from __future__ import annotations

import logging
import math
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from clinical_tl.data.leakage import check_by, check_leakage
from clinical_tl.data.notes import Notes, NotesLike, as_notes
from clinical_tl.data.ties import tied_notes
from clinical_tl.data.traces import (
    FEWEST_WORDS,
    MOST_WORDS,
    NEAR_DUPLICATE,
    Traces,
    near_groups,
)
from clinical_tl.errors import ConfigError, NoteError, shown_value

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix


def assign_units(
    sizes: NDArray[np.int64],
    labels: csr_matrix,
    wanted: NDArray[np.int64],
    *,
    seed: int,
) -> NDArray[np.int64]:
    """Gives every unit to a side so that sides have the wanted sizes and label shares.

    Iterative stratification (Sechidis, Tsoumakas & Vlahavas, On the stratification of
    multi-label data, 2011), where a unit is not one example but all notes that must stay
    together: the rarest label's units are dealt out first, the largest of them foremost, each
    to the side that still lacks most of that label. A side is passed over while it has no room
    for the unit and another has.

    Args:
        sizes: shape (units,), how many notes each unit has.
        labels: shape (units, labels), sparse, how many notes of the unit carry the label.
        wanted: shape (sides,), how many notes each side should get.
        seed: decides ties.

    Returns:
        Shape (units,): the position of each unit's side.
    """
    rng = np.random.default_rng(seed)
    sides = np.full(len(sizes), -1, dtype=np.int64)
    room = wanted.astype(np.float64)
    by_unit, by_label = labels.tocsr(), labels.tocsc()
    left = np.asarray(by_unit.sum(axis=0)).ravel().astype(np.float64)
    lacking = np.outer(wanted / wanted.sum(), left)
    # A random order made once settles every tie; sorts below are stable.
    order = rng.permutation(len(sizes))
    position = np.empty_like(order)
    position[order] = np.arange(len(order))

    def give(unit: int, lack: NDArray[np.float64]) -> None:
        fits = room >= sizes[unit]
        # Where it fits nowhere, the side with most room is overfilled least.
        keys = (rng.random(len(room)), room, lack if fits.any() else room)
        best = np.lexsort(keys)[::-1]
        side = int(next((s for s in best if fits[s]), best[0]))
        sides[unit] = side
        room[side] -= sizes[unit]
        row = slice(by_unit.indptr[unit], by_unit.indptr[unit + 1])
        lacking[side, by_unit.indices[row]] -= by_unit.data[row]
        left[by_unit.indices[row]] -= by_unit.data[row]

    while (left > 0).any():
        label = int(np.argmin(np.where(left > 0, left, np.inf)))
        column = slice(by_label.indptr[label], by_label.indptr[label + 1])
        units, counts = by_label.indices[column], by_label.data[column]
        is_free = sides[units] < 0
        units, counts = units[is_free], counts[is_free]
        for unit in units[np.lexsort((position[units], -sizes[units], -counts))]:
            give(int(unit), lacking[:, label])
    rest = order[sides[order] < 0]
    for unit in rest[np.argsort(-sizes[rest], kind="stable")]:
        give(int(unit), room)
    return sides


logger = logging.getLogger(__name__)

Stratify = Literal["auto", "label", "codes"]

FRACTIONS = {"train": 0.8, "dev": 0.1, "test": 0.1}


Unknown = Literal["refuse", "alone"]


def split_notes(
    notes: NotesLike,
    *,
    by: str = "patient_id",
    fractions: Mapping[str, float] | None = None,
    sizes: Mapping[str, int] | None = None,
    unknown: Unknown = "refuse",
    stratify: Stratify | None = "auto",
    seed: int = 0,
    tolerance: float = 0.05,
    allow_leakage: bool = False,
) -> dict[str, Notes]:
    """Divides notes into sides whose sizes and labels are as asked, and that share no patient.

    Notes of one group, and notes whose texts are one or nearly so (as `check_leakage` has it;
    nearly only from 20 words on), stay together, and so do groups that share such a text. The
    same notes and seed give the same sides, in whatever order the notes come; within a side they
    keep it.

    Args:
        notes: a dataset from `read_notes`, or records.
        by: what makes a group: `patient_id`, or `note_id` where every note stands for itself.
        unknown: notes without a patient are an error, or each stands `alone`, as another
            patient's: whether one of them is a patient on another side, nobody can tell then.
        fractions: side → share of the notes, adding up to 1. By default
            `{"train": 0.8, "dev": 0.1, "test": 0.1}`.
        sizes: side → number of notes instead, adding up to all of them.
        stratify: keep the shares of `label` or of `codes` alike on all sides; `auto` takes
            labels if there are any, else codes, else neither; `None` divides at random.
        seed: decides what is left to chance.
        tolerance: how far a side may be from its size, as a share of all notes; one note more
            or less is always allowed.
        allow_leakage: split by `by` alone, whoever and whatever falls on both sides. Check the
            result with `check_leakage`.

    Raises:
        ConfigError: settings that contradict one another or the notes.
        NoteError: notes without a group, or sides that can't be had without leakage.

    Example:
        >>> from clinical_tl.data.synthetic import generate_notes
        >>> splits = split_notes(generate_notes(60, words=(30, 80)), by="patient_id", seed=0)
        >>> {side: len(notes) for side, notes in splits.items()}
        {'train': 48, 'dev': 6, 'test': 6}
        >>> check_leakage(splits).is_clean
        True
    """
    check_by(by)
    dataset = _held(notes)
    wanted = _wanted(len(dataset), fractions, sizes)
    order = _order(dataset)
    ordered = dataset.select(order)
    groups = list(ordered[by])
    missing = sum(group is None for group in groups)
    if unknown not in get_args(Unknown):
        raise ConfigError(f"unknown={shown_value(unknown)}; allowed: {list(get_args(Unknown))}")
    if missing and unknown == "refuse":
        raise NoteError(
            f"{missing} of {len(groups)} notes have no {by}; fill it in (when reading: columns="
            f"{{{by!r}: …}}), or take each of them for another patient's: unknown='alone' (by="
            "'note_id' if that holds for all notes)"
        )
    units = tied_notes(groups)
    if not allow_leakage:
        if by != "patient_id":
            _require_single_notes(list(ordered["patient_id"]))
        units = tied_notes(groups, *_texts(ordered))
    sizes_of_units = np.bincount(units)
    targets = np.array(list(wanted.values()), dtype=np.int64)
    labels = _labels(ordered, units, _stratify_column(ordered, stratify))
    side_of_unit = assign_units(sizes_of_units, labels, targets, seed=seed)
    side_of_note = np.empty(len(dataset), dtype=np.int64)
    side_of_note[order] = side_of_unit[units]
    _require_sizes(wanted, side_of_note, sizes_of_units, tolerance)
    splits = {
        name: dataset.select(np.flatnonzero(side_of_note == position).tolist())
        for position, name in enumerate(wanted)
    }
    tied = "whatever their texts" if allow_leakage else "notes with one text kept together"
    for side in splits.values():
        side.division = f"at random by {by}, {tied}, seed {seed}"
    if not allow_leakage:
        report = check_leakage(splits, by=by, near_duplicates=None)
        if not report.is_clean:
            raise NoteError(f"{report}; pass allow_leakage=True to split all the same")
    return splits


def _held(notes: NotesLike) -> Notes:
    return notes if isinstance(notes, Notes) else Notes(as_notes(notes))


def _texts(notes: Notes) -> tuple[Sequence[Hashable | None], ...]:
    """Keys that notes share if their texts are one, and if they are nearly one."""
    traces = Traces.of(notes.records)
    if traces.n_words.sum() > MOST_WORDS:
        logger.warning("too many words to look for near-duplicates; only identical texts are tied")
        return (traces.texts,)
    near = near_groups(traces, NEAR_DUPLICATE, fewest_words=FEWEST_WORDS)
    return traces.texts, near


def _order(notes: Notes) -> list[int]:
    """The notes' positions by their ids: how they happen to come must not matter."""
    ids = list(notes["note_id"])
    return sorted(range(len(ids)), key=ids.__getitem__)


def _wanted(
    count: int, fractions: Mapping[str, float] | None, sizes: Mapping[str, int] | None
) -> dict[str, int]:
    if fractions is not None and sizes is not None:
        raise ConfigError("give fractions or sizes, not both")
    if sizes is not None:
        if min(sizes.values(), default=0) < 1 or sum(sizes.values()) != count:
            raise ConfigError(
                f"sizes {dict(sizes)} add up to {sum(sizes.values())}; allowed: positive numbers "
                f"that add up to the {count} notes"
            )
        return dict(sizes)
    shares = dict(FRACTIONS if fractions is None else fractions)
    if min(shares.values(), default=0) <= 0 or not math.isclose(sum(shares.values()), 1):
        raise ConfigError(f"fractions {shares}; allowed: positive numbers that add up to 1")
    if count < len(shares):
        raise NoteError(f"{count} notes can't be divided into {len(shares)} sides")
    # Largest remainder: whole numbers that add up to all notes.
    exact = {name: share * count for name, share in shares.items()}
    wanted = {name: max(1, int(size)) for name, size in exact.items()}
    by_remainder = sorted(exact, key=lambda name: wanted[name] - exact[name])
    for i in range(count - sum(wanted.values())):
        wanted[by_remainder[i % len(by_remainder)]] += 1
    while sum(wanted.values()) > count:
        wanted[max(wanted, key=wanted.__getitem__)] -= 1
    return wanted


def _require_single_notes(patients: Sequence[str | None]) -> None:
    known = [patient for patient in patients if patient is not None]
    if len(set(known)) < len(known):
        raise NoteError(
            f"{len(known)} notes belong to {len(set(known))} patients, who would fall on both "
            "sides; split with by='patient_id', or pass allow_leakage=True"
        )


def _stratify_column(notes: Notes, stratify: str | None) -> str | None:
    if stratify is None:
        return None
    if stratify not in get_args(Stratify):
        raise ConfigError(
            f"stratify={shown_value(stratify)}; allowed: {[*get_args(Stratify), None]}"
        )
    for column in ("label", "codes") if stratify == "auto" else (stratify,):
        if any(value is not None for value in notes[column]):
            return column
    if stratify == "auto":
        return None
    raise ConfigError(
        f"stratify={shown_value(stratify)}, but no note has it; allowed: stratify=None"
    )


def _labels(notes: Notes, units: NDArray[np.int64], column: str | None) -> csr_matrix:
    from scipy.sparse import csr_matrix

    columns: dict[str, int] = {}
    rows, cells = [], []
    for unit, value in zip(units.tolist(), notes[column] if column else (), strict=False):
        for label in {value} if isinstance(value, str) else sorted(set(value or ())):
            rows.append(unit)
            cells.append(columns.setdefault(label, len(columns)))
    shape = (int(units.max()) + 1, len(columns))
    matrix = csr_matrix((np.ones(len(rows), dtype=np.int64), (rows, cells)), shape=shape)
    matrix.sum_duplicates()
    return matrix


def _require_sizes(
    wanted: Mapping[str, int],
    side_of_note: NDArray[np.int64],
    sizes_of_units: NDArray[np.int64],
    tolerance: float,
) -> None:
    got = np.bincount(side_of_note, minlength=len(wanted)).tolist()
    allowed = max(1.0, tolerance * len(side_of_note))
    if 0 in got or any(abs(g - w) > allowed for g, w in zip(got, wanted.values(), strict=True)):
        raise NoteError(
            f"sides of {list(wanted.values())} notes can't be had within {allowed:g}: what must "
            "stay together (patients, identical and near-identical texts) forms "
            f"{len(sizes_of_units)} units, the largest of {sizes_of_units.max()} notes, and the "
            f"nearest is {got}. Ask for other sizes, allow more (tolerance=…), or pass "
            "allow_leakage=True, which lets identical texts part and keeps patients whole (with "
            "by='note_id' it parts patients too)"
        )
