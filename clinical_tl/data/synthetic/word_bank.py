"""The words and sentences of synthetic notes, read from the TOML files beside this module.

One file a kind of thing, each with its shape at its head, so that a clinician can add a disease,
a drug or a way of putting it. They are read and checked as a whole on first need.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

from clinical_tl.data.synthetic.toml_records import read_toml
from clinical_tl.errors import ConfigError, Fault, shown_id

NOTE_KINDS = ("discharge summary", "progress note")
# Kind of fact → what its sentences assert.
PROBLEM_FACTS = {
    "principal": "present",
    "main": "present",
    "comorbidity": "present",
    "historical": "historical",
    "negated": "negated",
    "family": "family",
    "possible": "possible",
}
OTHER_FACTS = {
    "symptom": "present",
    "negated symptom": "negated",
    "procedure": "present",
    "drug": "present",
}

# When its slots are filled.
MAX_SENTENCE_WORDS = 30
_PROBLEM_SLOTS = ("problem", "other")
_OTHER_SLOTS = ("drug", "dose", "symptom", "symptom2", "procedure")
# What the generator words itself, and in how many words at most.
_OWN_SLOTS = {"patient": 2, "patient_kind": 3, "he": 2, "his": 1, "day": 1, "bp": 1}
_SLOT = re.compile(r"\{(\w+)\}")
_CODE = re.compile(r"[A-Z]\d[0-9A-Z](\.[0-9A-Z]{1,4})?")
# Four digits would look like a year, or a telephone number.
_LARGEST_NUMBER = 999
# A stay takes up to 14 categories, a long note 31 symptoms; with fewer, nothing would be left.
_FEWEST_CATEGORIES = 30
_FEWEST_SYMPTOMS = 40


class Condition(NamedTuple):
    """A diagnosis that a synthetic patient can have.

    Attributes:
        code: its ICD-10-CM code.
        specialty: whose patient someone is when this is the main problem.
        names: surface forms, commonest first: full name, abbreviations, paraphrases. No
            form belongs to two conditions.
        drugs: names of drugs given for it.
        chronic: lasts, so a note never calls it resolved; otherwise it passes.
        prevalence: weight as a comorbidity, relative to the other conditions.
        qualifiers: phrases that may precede a name without changing the code.
    """

    code: str
    specialty: str
    names: tuple[str, ...]
    drugs: tuple[str, ...]
    chronic: bool = False
    prevalence: float = 0.3
    qualifiers: tuple[str, ...] = ()

    @property
    def category(self) -> str:
        """The code's first three characters."""
        return self.code[:3]


class Specialty(NamedTuple):
    """How often it has the main problem (`weight`), its symptoms with synonyms, its procedures."""

    weight: float
    symptoms: tuple[tuple[str, ...], ...]
    procedures: tuple[str, ...]


class Drug(NamedTuple):
    """The doses that a drug is written with; `aliases` are brands and short forms."""

    doses: tuple[str, ...]
    aliases: tuple[str, ...] = ()


class Wording(NamedTuple):
    """How one kind of fact is told, and the sections it may stand in."""

    sections: tuple[str, ...]
    sentences: tuple[str, ...]


class Sentences(NamedTuple):
    """What is in `sentences.toml`: by kind of note, by kind of fact, by section."""

    headings: dict[str, dict[str, tuple[str, ...]]]
    facts: dict[str, Wording]
    filler: dict[str, tuple[str, ...]]
    daily: dict[str, tuple[str, ...]]


class TrialDrugs(NamedTuple):
    """Parts of names of drugs that don't exist."""

    starts: tuple[str, ...]
    middles: tuple[str, ...]
    stems: tuple[str, ...]


class SymptomParts(NamedTuple):
    """Parts of symptoms."""

    qualities: tuple[str, ...]
    sites: tuple[str, ...]
    kinds: tuple[str, ...]


class ProcedureParts(NamedTuple):
    """Parts of procedures."""

    kinds: tuple[str, ...]
    sites: tuple[str, ...]


class Numbers(NamedTuple):
    """The numbers from `least` to `most`, with so many decimals."""

    least: float
    most: float
    decimals: int = 0


class Words(NamedTuple):
    """What is in `words.toml`: what is composed, and by slot what fills it."""

    common_drugs: tuple[str, ...]
    trial_drugs: TrialDrugs
    composed_symptoms: SymptomParts
    composed_procedures: ProcedureParts
    choices: dict[str, tuple[str, ...]]
    numbers: dict[str, Numbers]


class _Diagnoses(NamedTuple):
    conflicts: tuple[tuple[str, ...], ...]
    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class WordBank:
    """All that synthetic notes are made of.

    `conflicts` are pairs of ICD-10-CM categories that one note can't have together.
    """

    conditions: tuple[Condition, ...]
    conflicts: frozenset[frozenset[str]]
    specialties: dict[str, Specialty]
    drugs: dict[str, Drug]
    sentences: Sentences
    words: Words

    @cached_property
    def by_specialty(self) -> dict[str, tuple[Condition, ...]]:
        """The conditions of each specialty, the commonest main problem first."""
        return {
            specialty: tuple(c for c in self.conditions if c.specialty == specialty)
            for specialty in self.specialties
        }

    def go_together(self, one: Condition, other: Condition) -> bool:
        """Whether both can be coded in one note as they are."""
        categories = frozenset((one.category, other.category))
        return len(categories) == 2 and categories not in self.conflicts


@cache
def word_bank() -> WordBank:
    """The bank that comes with the package, read once a process."""
    return read_word_bank(Path(__file__).parent)


def read_word_bank(folder: Path) -> WordBank:
    """The bank of a folder: `conditions`, `specialties`, `drugs`, `sentences`, `words` (`.toml`).

    Raises:
        ConfigError: a file is missing or no TOML, or something in it is not as it should be;
            the message names the file and the key.
    """
    diagnoses = read_toml(folder / "conditions.toml", _Diagnoses)
    bank = WordBank(
        conditions=diagnoses.conditions,
        conflicts=frozenset(map(frozenset, diagnoses.conflicts)),
        specialties=read_toml(folder / "specialties.toml", dict[str, Specialty]),
        drugs=read_toml(folder / "drugs.toml", dict[str, Drug]),
        sentences=read_toml(folder / "sentences.toml", Sentences),
        words=read_toml(folder / "words.toml", Words),
    )
    for faults in (_condition_faults, _section_faults, _word_faults, _sentence_faults):
        for fault in faults(bank):
            raise ConfigError(fault)
    return bank


def _condition_faults(bank: WordBank) -> Iterator[Fault]:
    owner: dict[str, int] = {}
    for number, condition in enumerate(bank.conditions):
        where = f"conditions.toml: conditions[{shown_id(condition.code)}]"
        if not _CODE.fullmatch(condition.code):
            yield Fault(f"{where}.code", "no ICD-10-CM code", "one with its dot, such as I25.10")
        if owner.setdefault(condition.code, number) != number:
            yield Fault(f"{where}.code", "the code of another condition", "every code once")
        for k, name in enumerate(condition.names, start=1):
            if owner.setdefault(name.casefold(), number) != number:
                yield Fault(f"{where}.names[{k}]", "a name of another condition", "its own names")
        if condition.prevalence <= 0:
            yield Fault(f"{where}.prevalence", str(condition.prevalence), "more than 0")
        if condition.specialty not in bank.specialties:
            yield Fault(f"{where}.specialty", "none of specialties.toml", _list(bank.specialties))
        yield from _unknown_drugs(bank, f"{where}.drugs", condition.drugs)
    yield from _unknown_drugs(bank, "words.toml: common_drugs", bank.words.common_drugs)
    for name, specialty in bank.specialties.items():
        if specialty.weight <= 0:
            yield Fault(f"specialties.toml: {name}.weight", str(specialty.weight), "more than 0")
        if not bank.by_specialty[name]:
            yield Fault(
                f"specialties.toml: {name}", "no condition of conditions.toml", "one or more"
            )
    categories = {condition.category for condition in bank.conditions}
    if len(categories) < _FEWEST_CATEGORIES:
        found = f"{len(categories)} categories of codes"
        yield Fault("conditions.toml: conditions", found, f"{_FEWEST_CATEGORIES} or more")
    for pair in bank.conflicts:
        if len(pair) != 2 or not pair <= categories:
            shown = " and ".join(shown_id(category) for category in sorted(pair))
            yield Fault("conditions.toml: conflicts", shown, "pairs of categories of conditions")


def _unknown_drugs(bank: WordBank, where: str, names: Sequence[str]) -> Iterator[Fault]:
    for number, name in enumerate(names, start=1):
        if name not in bank.drugs:
            yield Fault(
                f"{where}[{number}]", "a drug that drugs.toml lacks", "its names; add a line there"
            )


def _section_faults(bank: WordBank) -> Iterator[Fault]:
    headings, facts = bank.sentences.headings, bank.sentences.facts
    for key, found, allowed in (
        ("headings", headings, NOTE_KINDS),
        ("facts", facts, (*PROBLEM_FACTS, *OTHER_FACTS)),
    ):
        if set(found) != set(allowed):
            yield Fault(f"sentences.toml: {key}", _list(found), _list(allowed))
    known = {section: None for sections in headings.values() for section in sections}
    places = {
        **{f"facts.{kind}.sections": wording.sections for kind, wording in facts.items()},
        "filler": tuple(bank.sentences.filler),
        "daily": tuple(bank.sentences.daily),
    }
    for key, sections in places.items():
        where = f"sentences.toml: {key}"
        if not set(sections) <= set(known):
            yield Fault(where, "a section without heading", _list(known))
        for kind, of_kind in headings.items():
            if key != "filler" and not set(sections) & set(of_kind):
                yield Fault(where, f"no section of a {kind}", _list(of_kind))


def _word_faults(bank: WordBank) -> Iterator[Fault]:
    taken = {*_PROBLEM_SLOTS, *_OTHER_SLOTS, *_OWN_SLOTS}
    for table, slots in (("choices", bank.words.choices), ("numbers", bank.words.numbers)):
        for slot in slots:
            if slot in taken or not _SLOT.fullmatch(f"{{{slot}}}"):
                yield Fault(f"words.toml: {table}.{slot}", "no name for it", "a new word")
            taken.add(slot)
    parts = bank.words.composed_symptoms
    symptoms = {f"{site} {kind}" for site in parts.sites for kind in parts.kinds}
    symptoms.update(names[0] for s in bank.specialties.values() for names in s.symptoms)
    if len(symptoms) < _FEWEST_SYMPTOMS:
        found = f"{len(symptoms)} symptoms with those of specialties.toml"
        yield Fault("words.toml: composed_symptoms", found, f"{_FEWEST_SYMPTOMS} or more")
    for slot, numbers in bank.words.numbers.items():
        if not 0 <= numbers.least <= numbers.most <= _LARGEST_NUMBER or numbers.decimals < 0:
            yield Fault(
                f"words.toml: numbers.{slot}",
                f"{numbers.least} to {numbers.most} with {numbers.decimals} decimals",
                f"0 <= least <= most <= {_LARGEST_NUMBER} and decimals >= 0",
            )


def _sentence_faults(bank: WordBank) -> Iterator[Fault]:
    plain = (*_OWN_SLOTS, *bank.words.choices, *bank.words.numbers)
    longest = _longest_fillings(bank)
    facts = bank.sentences.facts
    for table, sections in (("filler", bank.sentences.filler), ("daily", bank.sentences.daily)):
        for section, sentences in sections.items():
            yield from _unfit(f"sentences.toml: {table}.{section}", sentences, (), plain, longest)
    for kind, wording in facts.items():
        mentions = (*_PROBLEM_SLOTS, *_OTHER_SLOTS) if kind in PROBLEM_FACTS else _OTHER_SLOTS
        where = f"sentences.toml: facts.{kind}.sentences"
        yield from _unfit(where, wording.sentences, mentions, plain, longest)
    principal = {_frame(sentence) for sentence in facts["principal"].sentences}
    for kind in PROBLEM_FACTS:
        where = f"sentences.toml: facts.{kind}.sentences"
        for number, sentence in enumerate(facts[kind].sentences, start=1):
            if "{problem}" not in sentence:
                yield Fault(f"{where}[{number}]", "no {problem}", "sentences that name it")
            if kind != "principal" and _frame(sentence) in principal:
                found = "the wording of a principal sentence"
                yield Fault(f"{where}[{number}]", found, "a wording of its own")
        if all("{other}" in sentence for sentence in facts[kind].sentences):
            yield Fault(where, "{other} in each", "one or more that name {problem} alone")


def _frame(sentence: str) -> str:
    return _SLOT.sub("{}", sentence).casefold()


def _unfit(
    where: str,
    sentences: Sequence[str],
    mentions: Collection[str],
    plain: Collection[str],
    longest: dict[str, int],
) -> Iterator[Fault]:
    """Sentences that can't be filled, or become too long."""
    for number, sentence in enumerate(sentences, start=1):
        place = f"{where}[{number}]"
        slots = Counter(_SLOT.findall(sentence))
        for slot, times in slots.items():
            if slot not in mentions and slot not in plain:
                found = f"the slot {shown_id(slot, 'slot')}"
                yield Fault(place, found, _list((*mentions, *plain)))
            if slot in mentions and times > 1:
                yield Fault(place, f"{{{slot}}} {times} times", "every mention once a sentence")
        if re.search(r"[{}]", _SLOT.sub("", sentence)):
            yield Fault(place, "a brace that is of no slot", "slots such as {day}")
        words = len(_SLOT.sub(lambda slot: " ".join(["x"] * longest[slot[1]]), sentence).split())
        if words > MAX_SENTENCE_WORDS:
            yield Fault(place, f"up to {words} words when filled", f"{MAX_SENTENCE_WORDS} at most")


def _longest_fillings(bank: WordBank) -> dict[str, int]:
    """Slot → words of the longest text that may fill it."""
    words = bank.words
    symptoms, procedures = words.composed_symptoms, words.composed_procedures
    problem = max(_longest(c.names) + _longest(c.qualifiers) for c in bank.conditions)
    symptom = max(
        *(_longest(names) for s in bank.specialties.values() for names in s.symptoms),
        _longest(symptoms.qualities) + _longest(symptoms.sites) + _longest(symptoms.kinds),
    )
    return {
        **_OWN_SLOTS,
        **dict.fromkeys(words.numbers, 1),
        **{slot: _longest(texts) for slot, texts in words.choices.items()},
        "problem": problem,
        "other": problem,
        "symptom": symptom,
        "symptom2": symptom,
        "drug": _longest([n for name, d in bank.drugs.items() for n in (name, *d.aliases)]),
        "dose": _longest([dose for drug in bank.drugs.values() for dose in drug.doses]),
        "procedure": max(
            *(_longest(s.procedures) for s in bank.specialties.values()),
            _longest(procedures.kinds) + _longest(procedures.sites),
        ),
    }


def _longest(texts: Sequence[str]) -> int:
    return max((len(text.split()) for text in texts), default=0)


def _list(names: Collection[str]) -> str:
    return ", ".join(names)
