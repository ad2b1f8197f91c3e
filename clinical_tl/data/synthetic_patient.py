"""Synthetic patients and their stays in hospital: who has what, before any word is written."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from clinical_tl.data.synthetic_records import Condition
from clinical_tl.data.synthetic_vocabulary import (
    CONDITIONS,
    CONDITIONS_BY_SPECIALTY,
    CONFLICTS,
    SPECIALTIES,
)

# Mild imbalance, as on real wards.
_SPECIALTY_WEIGHTS = (1.3, 1.2, 1.1, 1.1, 1.0, 0.9, 0.8, 0.8)
_DRAWS = 200


@dataclass(frozen=True)
class Patient:
    """Someone with lasting conditions; `sex` is `"M"` or `"F"`, `age` in years."""

    number: int
    age: int
    sex: str
    comorbidities: tuple[Condition, ...]
    family: tuple[Condition, ...]


@dataclass(frozen=True)
class Stay:
    """One stay in hospital: a main problem and the conditions that only look like one.

    No two conditions of a stay share an ICD-10 category, whatever is said of them, so a note
    never both asserts and denies a code.
    """

    patient: Patient
    principal: Condition
    historical: tuple[Condition, ...]
    negated: tuple[Condition, ...]
    possible: tuple[Condition, ...]

    @property
    def present(self) -> tuple[Condition, ...]:
        """What the patient has now, main problem first."""
        return (self.principal, *self.patient.comorbidities)


def sample_patient(number: int, rng: random.Random) -> Patient:
    """A patient with up to four comorbidities and up to two conditions in the family."""
    sex = rng.choice("MF")
    age = rng.randint(45, 93)
    comorbidities = _without_conflicts(
        rng.choices(CONDITIONS, weights=[c.prevalence for c in CONDITIONS], k=rng.randint(0, 4))
    )
    family = _draw(rng, rng.randint(0, 2), taken=comorbidities)
    return Patient(number, age, sex, comorbidities, family)


def sample_stay(patient: Patient, rng: random.Random) -> Stay:
    """A stay whose main problem goes with the patient's comorbidities.

    The main problem's specialty is drawn first and independently of everything else; the
    distractors' specialties are drawn uniformly, the main one included.
    """
    taken = (*patient.comorbidities, *patient.family)
    specialty = rng.choices(SPECIALTIES, weights=_SPECIALTY_WEIGHTS)[0]
    principal = _draw(
        rng, 1, taken=taken, specialties=(specialty,), together_with=patient.comorbidities
    )[0]
    taken = (*taken, principal)
    historical = _draw(rng, rng.randint(0, 2), taken=taken, passing_only=True)
    taken = (*taken, *historical)
    negated = _draw(rng, rng.randint(1, 4), taken=taken)
    taken = (*taken, *negated)
    possible = _draw(rng, rng.randint(0, 1), taken=taken)
    return Stay(patient, principal, historical, negated, possible)


def go_together(one: Condition, other: Condition) -> bool:
    """Whether both can be coded in one note as they are."""
    categories = frozenset((one.category, other.category))
    return len(categories) == 2 and categories not in CONFLICTS


def _without_conflicts(conditions: Sequence[Condition]) -> tuple[Condition, ...]:
    kept: list[Condition] = []
    for condition in conditions:
        if all(go_together(condition, other) for other in kept):
            kept.append(condition)
    return tuple(kept)


def _draw(
    rng: random.Random,
    count: int,
    *,
    taken: Sequence[Condition],
    specialties: Sequence[str] = SPECIALTIES,
    passing_only: bool = False,
    together_with: Sequence[Condition] = (),
) -> tuple[Condition, ...]:
    """Up to `count` conditions of categories not taken; the k-th of a specialty weighs 1/k."""
    categories = {condition.category for condition in taken}
    drawn: list[Condition] = []
    for _ in range(_DRAWS):
        if len(drawn) == count:
            break
        group = CONDITIONS_BY_SPECIALTY[rng.choice(specialties)]
        condition = rng.choices(group, weights=[1 / k for k in range(1, len(group) + 1)])[0]
        if (
            condition.category in categories
            or (passing_only and condition.chronic)
            or not all(go_together(condition, other) for other in together_with)
        ):
            continue
        categories.add(condition.category)
        drawn.append(condition)
    return tuple(drawn)
