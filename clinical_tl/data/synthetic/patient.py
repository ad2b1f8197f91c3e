"""Synthetic patients and their stays in hospital: who has what, before any word is written."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from clinical_tl.data.synthetic.word_bank import Condition, WordBank

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


def sample_patient(bank: WordBank, number: int, rng: random.Random) -> Patient:
    """A patient with up to four comorbidities and up to two conditions in the family."""
    sex = rng.choice("MF")
    age = rng.randint(45, 93)
    weights = [condition.prevalence for condition in bank.conditions]
    comorbidities = _without_conflicts(
        bank, rng.choices(bank.conditions, weights=weights, k=rng.randint(0, 4))
    )
    family = _draw(bank, rng, rng.randint(0, 2), taken=comorbidities)
    return Patient(number, age, sex, comorbidities, family)


def sample_stay(bank: WordBank, patient: Patient, rng: random.Random) -> Stay:
    """A stay whose main problem goes with the patient's comorbidities.

    The main problem's specialty is drawn first and independently of everything else; the
    distractors' specialties are drawn uniformly, the main one included.
    """
    taken = (*patient.comorbidities, *patient.family)
    weights = [specialty.weight for specialty in bank.specialties.values()]
    drawn: tuple[Condition, ...] = ()
    # Of a specialty with few conditions, none may be left.
    while not drawn:
        specialty = rng.choices(tuple(bank.specialties), weights=weights)
        drawn = _draw(
            bank, rng, 1, taken=taken, specialties=specialty, together_with=patient.comorbidities
        )
    principal = drawn[0]
    taken = (*taken, principal)
    historical = _draw(bank, rng, rng.randint(0, 2), taken=taken, passing_only=True)
    taken = (*taken, *historical)
    negated = _draw(bank, rng, rng.randint(1, 4), taken=taken)
    taken = (*taken, *negated)
    possible = _draw(bank, rng, rng.randint(0, 1), taken=taken)
    return Stay(patient, principal, historical, negated, possible)


def _without_conflicts(bank: WordBank, conditions: Sequence[Condition]) -> tuple[Condition, ...]:
    kept: list[Condition] = []
    for condition in conditions:
        if all(bank.go_together(condition, other) for other in kept):
            kept.append(condition)
    return tuple(kept)


def _draw(
    bank: WordBank,
    rng: random.Random,
    count: int,
    *,
    taken: Sequence[Condition],
    specialties: Sequence[str] = (),
    passing_only: bool = False,
    together_with: Sequence[Condition] = (),
) -> tuple[Condition, ...]:
    """Up to `count` conditions of categories not taken; the k-th of a specialty weighs 1/k.

    They are of the specialties given, or of any.
    """
    groups = [bank.by_specialty[specialty] for specialty in specialties or bank.specialties]
    categories = {condition.category for condition in taken}
    drawn: list[Condition] = []
    for _ in range(_DRAWS):
        if len(drawn) == count:
            break
        group = rng.choice(groups)
        condition = rng.choices(group, weights=[1 / k for k in range(1, len(group) + 1)])[0]
        if (
            condition.category in categories
            or (passing_only and condition.chronic)
            or not all(bank.go_together(condition, other) for other in together_with)
        ):
            continue
        categories.add(condition.category)
        drawn.append(condition)
    return tuple(drawn)
