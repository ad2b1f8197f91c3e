"""Groups of patients, by a field of the notes' metadata, and how their scores compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clinical_tl.errors import ConfigError, shown_id
from clinical_tl.evaluation.estimates import Bootstrap, Estimate
from clinical_tl.metrics.intervals import number_patients
from clinical_tl.schema import Note

if TYPE_CHECKING:
    from clinical_tl.metrics.note_counts import NoteCounts
    from clinical_tl.schema import Prediction

MOST_GROUPS = 20
MISSING = "not recorded"
FEWEST_PATIENTS = 10
"""A group of fewer patients is not scored, nor its size told: it might point at persons."""


@dataclass(frozen=True)
class Subgroup:
    """The notes (positions) whose metadata have one value in a field."""

    field: str
    name: str
    notes: tuple[int, ...]
    patients: int


def subgroups_of(notes: Sequence[Note], field: str) -> list[Subgroup]:
    """The groups that a metadata field makes, by name; notes without it are a group as well.

    Raises `ConfigError` if no note has the field, or if it has more than 20 values.
    """
    members: dict[str, list[int]] = {}
    for position, note in enumerate(notes):
        value = note.metadata.get(field)
        members.setdefault(MISSING if value is None else str(value), []).append(position)
    if set(members) == {MISSING}:
        known = sorted({shown_id(name, "field") for note in notes for name in note.metadata})
        raise ConfigError(
            f"no note has {shown_id(field, 'field')!r} in its metadata; there are: "
            f"{', '.join(known) or 'none'}"
        )
    if len(members) > MOST_GROUPS:
        # Not the values: an identifier chosen by mistake would be shown.
        raise ConfigError(
            f"the metadata field {shown_id(field, 'field')!r} has {len(members)} values in "
            f"{len(notes)} notes; allowed: {MOST_GROUPS} at most. Put ages, dates and the like "
            "into bands first"
        )
    return [
        Subgroup(field, name, tuple(own), n_patients([notes[i] for i in own]))
        for name, own in sorted(members.items())
    ]


def patients_of(notes: Sequence[Note]) -> list[int]:
    """The number of each note's patient; a note without a patient is one of its own."""
    return number_patients([note.patient_id for note in notes])


def n_patients(notes: Sequence[Note]) -> int:
    """How many patients the notes are of."""
    return len(set(patients_of(notes)))


@dataclass(frozen=True)
class SubgroupScore:
    """A group's headline score; no figures (`None`) for a group of fewer than ten patients.

    `score` is what `evaluate` gives for the group's notes, over all labels that these have.
    `shared` is the same over those labels alone that every group of the field has in gold: what
    groups can be compared by. It is `None` where there are none, and for a group without gold.
    """

    field: str
    group: str
    notes: int | None
    patients: int | None
    score: Estimate | None
    shared: Estimate | None = None


@dataclass(frozen=True)
class Gap:
    """The distance between the groups with the highest and the lowest score on shared labels.

    On labels that one group has and another lacks a difference would be one of the labels and
    not of the groups: the gap is over the `labels` that all groups have in gold, of the
    `of_labels` that some have. Where they share none there is no `difference`, and no pair. The
    pair was chosen by the scores, so the interval leans towards a gap: read it as a reason to
    look, not as a test.
    """

    field: str
    highest: str | None
    lowest: str | None
    difference: Estimate | None
    labels: int
    of_labels: int


def compare_groups(
    task: Any,  # noqa: ANN401  (a task that decides notes: no type is both protocols)
    notes: Sequence[Note],
    predictions: Sequence[Prediction],
    groups: Sequence[Subgroup],
    counts: NoteCounts,
    bootstrap: Bootstrap,
    metric: str,
) -> tuple[list[SubgroupScore], list[Gap]]:
    """Each group's score, and for each field the gap between its extreme groups."""
    shown: list[SubgroupScore] = []
    gaps: list[Gap] = []
    for field in dict.fromkeys(group.field for group in groups):
        of_field = [group for group in groups if group.field == field]
        gold = {
            group.name: set(task.gold_labels([notes[i] for i in group.notes]))
            for group in of_field
            if group.patients >= FEWEST_PATIENTS
        }
        having = [labels for labels in gold.values() if labels]
        labels = set.intersection(*having) if having else set()
        on_shared = task.note_counts(notes, predictions, labels=labels)
        shared: dict[str, Estimate] = {}
        for group in of_field:
            if group.name not in gold:
                shown.append(SubgroupScore(field, group.name, None, None, None))
                continue
            if labels and gold[group.name]:
                found = bootstrap.estimates(on_shared, group.notes).get(metric)
                if found is not None:
                    shared[group.name] = found
            shown.append(
                SubgroupScore(
                    field,
                    group.name,
                    len(group.notes),
                    group.patients,
                    bootstrap.estimates(counts, group.notes).get(metric),
                    shared.get(group.name),
                )
            )
        if len(having) < 2:
            continue
        of_labels = len(set.union(*having))
        if len(shared) < 2:
            gaps.append(Gap(field, None, None, None, len(labels), of_labels))
            continue
        ranked = sorted(shared, key=lambda name: (shared[name].value, name), reverse=True)
        members = {group.name: group.notes for group in of_field}
        high, low = ranked[0], ranked[-1]
        drawn = (
            bootstrap.figures(on_shared, members[high])[metric]
            - bootstrap.figures(on_shared, members[low])[metric]
        )
        difference = bootstrap.around(
            shared[high].value - shared[low].value, drawn, difference=True
        )
        gaps.append(Gap(field, high, low, difference, len(labels), of_labels))
    return shown, gaps
