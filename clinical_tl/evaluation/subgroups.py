"""Groups of patients, by a field of the notes' metadata."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from clinical_tl.errors import ConfigError, shown_id
from clinical_tl.metrics.intervals import number_patients
from clinical_tl.schema import Note

MOST_GROUPS = 20
MISSING = "not recorded"


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
