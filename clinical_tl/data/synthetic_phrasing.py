"""Sentences for one synthetic note: templates filled with its patient's facts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from string import Formatter

from clinical_tl.data import synthetic_sections as bank
from clinical_tl.data import synthetic_vocabulary as words
from clinical_tl.data.synthetic_patient import Stay
from clinical_tl.data.synthetic_records import Condition, Drug
from clinical_tl.data.synthetic_writer import Piece, Sentence, choose_ranked

PROBLEM, SYMPTOM, DRUG, DOSE, PROCEDURE = "Problem", "Symptom", "Drug", "Dose", "Procedure"

_QUALIFIED = 0.25
_ALIASED = 0.3
_TRIAL_DRUG = 0.2
_COMPOSED = 0.35

# Kind of fact → its sentences and what they assert.
_ABOUT_PROBLEMS: dict[str, tuple[tuple[str, ...], str]] = {
    "principal": (bank.PRINCIPAL_SENTENCES, "present"),
    "main": (bank.MAIN_PROBLEM_SENTENCES, "present"),
    "comorbidity": (bank.COMORBIDITY_SENTENCES, "present"),
    "historical": (bank.HISTORICAL_SENTENCES, "historical"),
    "negated": (bank.NEGATED_SENTENCES, "negated"),
    "family": (bank.FAMILY_SENTENCES, "family"),
    "possible": (bank.POSSIBLE_SENTENCES, "possible"),
}
_ABOUT_OTHERS: dict[str, tuple[tuple[str, ...], str]] = {
    "symptom": (bank.SYMPTOM_SENTENCES, "present"),
    "negated symptom": (bank.NEGATED_SYMPTOM_SENTENCES, "negated"),
    "procedure": (bank.PROCEDURE_SENTENCES, "present"),
    "drug": (bank.DRUG_SENTENCES, "present"),
}


class Phrasing:
    """Words the facts of one stay, as one note's author would.

    It remembers what it has said, so that a symptom isn't both reported and denied.
    """

    def __init__(self, stay: Stay, *, day: int, rng: random.Random) -> None:
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
        templates, assertion = _ABOUT_PROBLEMS[kind]
        if not others:
            templates = tuple(t for t in templates if "{other}" not in t)
        other = self._rng.choice(others) if others else None
        return self._filled(self._rng.choice(templates), assertion, condition, other)

    def statement(self, kind: str) -> Sentence:
        """A sentence of a kind that names no diagnosis (`symptom`, `procedure`, `drug`, …)."""
        templates, assertion = _ABOUT_OTHERS[kind]
        return self._filled(self._rng.choice(templates), assertion)

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
        drug = self._drug(condition)
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
                pieces.append(Piece(self._drug_name(drug), DRUG))
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
        rng = self._rng
        forms: tuple[str, ...]
        while True:
            if rng.random() < _COMPOSED:
                what = f"{rng.choice(words.SYMPTOM_SITES)} {rng.choice(words.SYMPTOM_KINDS)}"
                forms = (f"{rng.choice(words.SYMPTOM_QUALITIES)} {what}", what)
            else:
                forms = rng.choice(words.SYMPTOMS_BY_SPECIALTY[self._symptom_specialty(assertion)])
                what = forms[0]
            if self._said_of_symptoms.setdefault(what, assertion) == assertion:
                return Piece(choose_ranked(forms, rng), SYMPTOM, assertion)

    def _symptom_specialty(self, assertion: str) -> str:
        if assertion == "present" and self._rng.random() < 0.6:
            return self._stay.principal.specialty
        return self._rng.choice(words.SPECIALTIES)

    def _drug(self, condition: Condition | None) -> Drug:
        """One for the condition; without one, what the patient takes or a trial drug."""
        rng = self._rng
        if condition is None:
            if rng.random() < _TRIAL_DRUG:
                name = (
                    rng.choice(words.TRIAL_DRUG_STARTS)
                    + rng.choice(words.TRIAL_DRUG_MIDDLES)
                    + rng.choice(words.TRIAL_DRUG_STEMS)
                )
                return Drug(name, (f"{5 * rng.randint(1, 60)} mg",))
            if rng.random() < 0.3:
                return words.DRUG_BY_NAME[rng.choice(words.COMMON_DRUGS)]
            condition = rng.choice((self._stay.principal, *self._stay.present))
        return words.DRUG_BY_NAME[rng.choice(condition.drugs)]

    def _drug_name(self, drug: Drug) -> str:
        if drug.aliases and self._rng.random() < _ALIASED:
            return self._rng.choice(drug.aliases)
        return drug.name

    def _dose(self, drug: Drug) -> str:
        dose = self._rng.choice(drug.doses)
        return dose.replace(" mg", "mg", 1) if self._rng.random() < 0.2 else dose

    def _procedure(self, condition: Condition | None) -> str:
        rng = self._rng
        if rng.random() < _COMPOSED:
            return f"{rng.choice(words.PROCEDURE_KINDS)} {rng.choice(words.PROCEDURE_SITES)}"
        about = condition or rng.choice((self._stay.principal, *self._stay.present))
        return rng.choice(words.PROCEDURES_BY_SPECIALTY[about.specialty])

    def _plain(self, slot: str) -> str:
        rng = self._rng
        if slot in self._fixed:
            return self._fixed[slot]
        if slot in words.PLAIN_CHOICES:
            return rng.choice(words.PLAIN_CHOICES[slot])
        if slot == "day":
            return str(rng.randint(1, self._day))
        if slot == "bp":
            return f"{rng.randint(92, 178)}/{rng.randint(48, 104)}"
        low, high, decimals = words.PLAIN_NUMBERS[slot]
        return f"{rng.uniform(low, high):.{decimals}f}"


def _capitalised(piece: Piece) -> Piece:
    text = piece.text[0].upper() + piece.text[1:]
    return Piece(text, piece.label, piece.assertion, piece.code)
