"""Sentences for one synthetic note: templates filled with its patient's facts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from string import Formatter

from clinical_tl.data.synthetic.patient import Stay
from clinical_tl.data.synthetic.word_bank import (
    OTHER_FACTS,
    PROBLEM_FACTS,
    Condition,
    Drug,
    WordBank,
)
from clinical_tl.data.synthetic.writer import Piece, Sentence, choose_ranked

PROBLEM, SYMPTOM, DRUG, DOSE, PROCEDURE = "Problem", "Symptom", "Drug", "Dose", "Procedure"

_QUALIFIED = 0.25
_ALIASED = 0.3
_TRIAL_DRUG = 0.2
_COMPOSED = 0.35


class Phrasing:
    """Words the facts of one stay, as one note's author would.

    It remembers what it has said, so that a symptom isn't both reported and denied.
    """

    def __init__(self, bank: WordBank, stay: Stay, *, day: int, rng: random.Random) -> None:
        self._bank = bank
        self._stay = stay
        self._day = day
        self._rng = rng
        patient = stay.patient
        man = patient.sex == "M"
        pronoun = "he" if man else "she"
        self._fixed = {
            "patient": rng.choice(("the patient", "pt", pronoun)),
            "he": rng.choice((pronoun, pronoun, "the patient")),
            "his": "his" if man else "her",
            "patient_kind": rng.choice(
                (
                    f"a {patient.age}-year-old {'man' if man else 'woman'}",
                    f"{patient.age} y/o {patient.sex}",
                    f"{patient.age}{patient.sex}",
                )
            ),
        }
        self._said_of_symptoms: dict[str, str] = {}

    def problem(
        self, kind: str, condition: Condition, others: Sequence[Condition] = ()
    ) -> Sentence:
        """A sentence of a kind (`principal`, `negated`, …) about a condition.

        `others` are further conditions of which the same holds; some sentences name one.
        """
        templates = self._bank.sentences.facts[kind].sentences
        if not others:
            templates = tuple(t for t in templates if "{other}" not in t)
        other = self._rng.choice(others) if others else None
        return self._filled(self._rng.choice(templates), PROBLEM_FACTS[kind], condition, other)

    def statement(self, kind: str) -> Sentence:
        """A sentence of a kind that names no diagnosis (`symptom`, `procedure`, `drug`, …)."""
        templates = self._bank.sentences.facts[kind].sentences
        return self._filled(self._rng.choice(templates), OTHER_FACTS[kind])

    def filler(self, template: str) -> Sentence:
        """A sentence that names nothing of interest."""
        return self._filled(template, "present")

    def _filled(
        self,
        template: str,
        assertion: str,
        condition: Condition | None = None,
        other: Condition | None = None,
    ) -> Sentence:
        name, drug = self._drug(condition)
        pieces: list[Piece] = []
        places: dict[str, int] = {}
        for literal, slot, _, _ in Formatter().parse(template):
            if literal:
                pieces.append(Piece(literal))
            if slot is None:
                continue
            places[slot] = len(pieces)
            if slot == "problem" and condition is not None:
                pieces.append(self._problem_piece(condition, assertion))
            elif slot == "other" and other is not None:
                pieces.append(self._problem_piece(other, assertion))
            elif slot in ("symptom", "symptom2"):
                pieces.append(self._symptom_piece(assertion))
            elif slot == "drug":
                pieces.append(Piece(self._drug_name(name, drug), DRUG))
            elif slot == "dose":
                pieces.append(Piece(self._dose(drug), DOSE))
            elif slot == "procedure":
                pieces.append(Piece(self._procedure(condition), PROCEDURE))
            else:
                pieces.append(Piece(self._plain(slot)))
        pieces[0] = _capitalised(pieces[0])
        links = []
        if "drug" in places and "dose" in places:
            links.append((places["drug"], places["dose"], "has_dose"))
        if "drug" in places and "problem" in places:
            links.append((places["drug"], places["problem"], "treats"))
        return Sentence(tuple(pieces), tuple(links))

    def _problem_piece(self, condition: Condition, assertion: str) -> Piece:
        name = choose_ranked(condition.names, self._rng)
        if condition.qualifiers and self._rng.random() < _QUALIFIED:
            name = f"{self._rng.choice(condition.qualifiers)} {name}"
        return Piece(name, PROBLEM, assertion, condition.code)

    def _symptom_piece(self, assertion: str) -> Piece:
        rng, parts = self._rng, self._bank.words.composed_symptoms
        forms: tuple[str, ...]
        while True:
            if rng.random() < _COMPOSED:
                what = f"{rng.choice(parts.sites)} {rng.choice(parts.kinds)}"
                forms = (f"{rng.choice(parts.qualities)} {what}", what)
            else:
                specialty = self._symptom_specialty(assertion)
                forms = rng.choice(self._bank.specialties[specialty].symptoms)
                what = forms[0]
            if self._said_of_symptoms.setdefault(what, assertion) == assertion:
                return Piece(choose_ranked(forms, rng), SYMPTOM, assertion)

    def _symptom_specialty(self, assertion: str) -> str:
        if assertion == "present" and self._rng.random() < 0.6:
            return self._stay.principal.specialty
        return self._rng.choice(tuple(self._bank.specialties))

    def _drug(self, condition: Condition | None) -> tuple[str, Drug]:
        """One for the condition; without one, what the patient takes or a trial drug."""
        rng, words = self._rng, self._bank.words
        if condition is None:
            if rng.random() < _TRIAL_DRUG:
                parts = words.trial_drugs
                name = (
                    rng.choice(parts.starts) + rng.choice(parts.middles) + rng.choice(parts.stems)
                )
                return name, Drug((f"{5 * rng.randint(1, 60)} mg",))
            if rng.random() < 0.3:
                name = rng.choice(words.common_drugs)
                return name, self._bank.drugs[name]
            condition = rng.choice((self._stay.principal, *self._stay.present))
        name = rng.choice(condition.drugs)
        return name, self._bank.drugs[name]

    def _drug_name(self, name: str, drug: Drug) -> str:
        if drug.aliases and self._rng.random() < _ALIASED:
            return self._rng.choice(drug.aliases)
        return name

    def _dose(self, drug: Drug) -> str:
        dose = self._rng.choice(drug.doses)
        return dose.replace(" mg", "mg", 1) if self._rng.random() < 0.2 else dose

    def _procedure(self, condition: Condition | None) -> str:
        rng, parts = self._rng, self._bank.words.composed_procedures
        if rng.random() < _COMPOSED:
            return f"{rng.choice(parts.kinds)} {rng.choice(parts.sites)}"
        about = condition or rng.choice((self._stay.principal, *self._stay.present))
        return rng.choice(self._bank.specialties[about.specialty].procedures)

    def _plain(self, slot: str) -> str:
        rng, words = self._rng, self._bank.words
        if slot in self._fixed:
            return self._fixed[slot]
        if slot in words.choices:
            return rng.choice(words.choices[slot])
        if slot == "day":
            return str(rng.randint(1, self._day))
        if slot == "bp":
            return f"{rng.randint(92, 178)}/{rng.randint(48, 104)}"
        numbers = words.numbers[slot]
        return f"{rng.uniform(numbers.least, numbers.most):.{numbers.decimals}f}"


def _capitalised(piece: Piece) -> Piece:
    text = piece.text[0].upper() + piece.text[1:]
    return Piece(text, piece.label, piece.assertion, piece.code)
