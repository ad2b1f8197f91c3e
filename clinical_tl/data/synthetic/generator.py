"""A generator of synthetic clinical notes with gold for every task; no person is behind them.

Discharge summaries and progress notes with a main problem, comorbidities and plenty that only
looks like them: past, excluded, suspected and relatives' diagnoses with the same words. The
gold:

- `label`: the specialty of the *main* problem, which one sentence names ("admitted for …",
  "found to have …"). The words of a note say little: distractors come from all specialties.
- `codes`: ICD-10-CM codes of the problems that are asserted and current, the main one first.
  Past, negated, relatives' and merely possible ones are not coded; nor are symptoms.
- `spans`: `Problem`, `Symptom`, `Drug`, `Dose`, `Procedure`; contiguous and disjoint. Problems
  and symptoms have the attribute `assertion` (`present`, `negated`, `historical`, `family`,
  `possible`), problems their code as concept, whatever is asserted.
- `relations`: `has_dose` (drug → dose) and `treats` (drug → problem) within a sentence.

Their diagnoses, words and sentences are the TOML files beside this module. Scores on these notes
show that code works. They prove nothing about real notes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count
from typing import Literal

from clinical_tl.data.notes import Notes
from clinical_tl.data.synthetic.patient import Stay, sample_patient, sample_stay
from clinical_tl.data.synthetic.phrasing import PROBLEM, Phrasing
from clinical_tl.data.synthetic.word_bank import (
    MAX_SENTENCE_WORDS,
    Condition,
    WordBank,
    word_bank,
)
from clinical_tl.data.synthetic.writer import NoteWriter, Sentence
from clinical_tl.errors import ConfigError, shown_value
from clinical_tl.schema import Note

Length = Literal["short", "mixed", "long"]
LENGTHS: dict[str, tuple[int, int]] = {"short": (60, 200), "mixed": (6, 4000), "long": (800, 4000)}

# A sentence and a new section's heading must fit between the bounds.
MIN_RANGE = MAX_SENTENCE_WORDS + 10
_MIN_WORDS_FOR_HEADINGS = 45

# Kind of statement → how many a short note has; long ones have more.
_STATEMENTS = {"symptom": 3, "negated symptom": 2, "procedure": 1, "drug": 2}
_FILLER_SHARE = 0.35
_WORDS_A_DAY = 80


def generate_notes(
    n: int,
    *,
    seed: int = 0,
    length: Length = "mixed",
    words: tuple[int, int] | None = None,
    notes_per_patient: tuple[int, int] = (1, 4),
    typo_rate: float = 0.01,
) -> Notes:
    """Synthetic notes as a dataset in the one Arrow schema.

    Args:
        n: how many notes.
        seed: the same seed gives the same notes in every process; the first k of n notes are
            the notes of n = k. Sets of different seeds share no note or patient id.
        length: `"short"` (60–200 words), `"mixed"` (one line to 4,000 words, median about
            160) or `"long"` (800–4,000 words).
        words: bounds (least, most) on the words of a note, white-space separated; they take
            the place of `length`. Lengths are spread evenly on a logarithmic scale, thinning
            out toward both ends.
        notes_per_patient: bounds on the notes of one patient; most have few.
        typo_rate: share of words of five letters or more that are misspelt, in [0, 1].

    Raises:
        ConfigError: an argument is out of range.

    Example:
        >>> notes = generate_notes(3, seed=1, words=(30, 80))
        >>> notes["note_id"]
        ['synthetic-1-00001-1', 'synthetic-1-00001-2', 'synthetic-1-00001-3']
        >>> notes["label"]
        ['oncology', 'oncology', 'oncology']
        >>> notes["codes"]
        [('C34.90',), ('C34.90',), ('C34.90', 'N18.30')]
    """
    return Notes(
        iter_notes(
            n,
            seed=seed,
            length=length,
            words=words,
            notes_per_patient=notes_per_patient,
            typo_rate=typo_rate,
        )
    )


def iter_notes(
    n: int,
    *,
    seed: int = 0,
    length: Length = "mixed",
    words: tuple[int, int] | None = None,
    notes_per_patient: tuple[int, int] = (1, 4),
    typo_rate: float = 0.01,
) -> Iterator[Note]:
    """The notes of `generate_notes`, one by one, in constant memory.

    Raises:
        ConfigError: an argument is out of range (on the call, not on the first note).
    """
    bounds = _word_bounds(length, words)
    fewest, most = notes_per_patient
    wrong = []
    if n < 0:
        wrong.append(f"n is {n}; allowed: 0 or more")
    if not 1 <= fewest <= most:
        wrong.append(f"notes_per_patient is {notes_per_patient}; allowed: 1 <= fewest <= most")
    if not 0 <= typo_rate <= 1:
        wrong.append(f"typo_rate is {typo_rate}; allowed: 0 to 1")
    if bounds[0] < 1 or bounds[1] - bounds[0] < MIN_RANGE:
        wrong.append(
            f"words is {bounds}; allowed: at least 1 and a range of {MIN_RANGE} or more, "
            "e.g. (60, 200)"
        )
    if wrong:
        raise ConfigError("synthetic notes can't be made: " + "; ".join(wrong))
    return _notes(word_bank(), n, seed, bounds, (fewest, most), typo_rate)


def _word_bounds(length: str, words: tuple[int, int] | None) -> tuple[int, int]:
    if words is not None:
        return words
    if length not in LENGTHS:
        raise ConfigError(f"length {shown_value(length)} is unknown; allowed: {', '.join(LENGTHS)}")
    return LENGTHS[length]


def _notes(
    bank: WordBank,
    n: int,
    seed: int,
    bounds: tuple[int, int],
    notes_per_patient: tuple[int, int],
    typo_rate: float,
) -> Iterator[Note]:
    fewest, most = notes_per_patient
    made = 0
    for number in count(1):
        # Seeding with a string hashes it (SHA-512), so patients are independent of each other
        # and of Python's own hash seed.
        rng = random.Random(f"synthetic notes {seed} {number}")  # noqa: S311  (not for secrets)
        patient = sample_patient(bank, number, rng)
        sizes = range(fewest, most + 1)
        of_patient = rng.choices(sizes, weights=[1 / size for size in sizes])[0]
        stay, left, day = sample_stay(bank, patient, rng), 0, 0
        for k in range(1, of_patient + 1):
            if made == n:
                return
            if left == 0:
                stay, left, day = sample_stay(bank, patient, rng), rng.randint(1, 3), 0
            left -= 1
            target = round(bounds[0] * (bounds[1] / bounds[0]) ** rng.betavariate(2, 2))
            # Much to tell takes a long stay.
            day += rng.randint(1, 3) + target // _WORDS_A_DAY
            # The discharge summary closes a stay; a note that stands alone may be either.
            closes = left == 0 and (day > 3 or rng.random() < 0.5)
            yield _note(
                bank,
                stay,
                note_id=f"synthetic-{seed}-{number:05d}-{k}",
                patient_id=f"synthetic-{seed}-{number:05d}",
                kind="discharge summary" if closes else "progress note",
                day=day,
                target=target,
                most=bounds[1],
                typo_rate=typo_rate,
                rng=rng,
            )
            made += 1


def _note(
    bank: WordBank,
    stay: Stay,
    *,
    note_id: str,
    patient_id: str,
    kind: str,
    day: int,
    target: int,
    most: int,
    typo_rate: float,
    rng: random.Random,
) -> Note:
    # Typos have a generator of their own: the same notes come with and without them.
    writer = NoteWriter(rng=random.Random(rng.getrandbits(64)), typo_rate=typo_rate)  # noqa: S311  (no secret)
    with_headings = target >= _MIN_WORDS_FOR_HEADINGS and rng.random() < 0.8
    headings = {
        section: f"{rng.choice(names)}:" if with_headings else ""
        for section, names in bank.sentences.headings[kind].items()
    }
    sentences: dict[str, list[Sentence]] = {section: [] for section in headings}
    total = 0
    for section, sentence in _sentences(bank, stay, tuple(headings), target, day, rng):
        heading = "" if sentences[section] else headings[section]
        more = sentence.words + len(heading.split())
        if total + more > most:
            break
        sentences[section].append(sentence)
        total += more
        if total >= target:
            break
    _write(writer, headings, sentences, one_line=target < _MIN_WORDS_FOR_HEADINGS, rng=rng)
    codes = [
        code
        for span in writer.spans
        if span.label == PROBLEM and ("assertion", "present") in span.attributes
        for code in span.concepts
    ]
    return Note(
        note_id=note_id,
        patient_id=patient_id,
        text=writer.text,
        label=stay.principal.specialty,
        codes=tuple(dict.fromkeys([stay.principal.code, *codes])),
        spans=writer.spans,
        relations=writer.relations,
        metadata={"kind": kind, "hospital_day": day, "synthetic": True},
    )


def _sentences(
    bank: WordBank,
    stay: Stay,
    sections: tuple[str, ...],
    target: int,
    day: int,
    rng: random.Random,
) -> Iterator[tuple[str, Sentence]]:
    """Sentences with their sections, most important first, without end.

    The main problem comes first, then every other fact one to three times, mixed with filler;
    when the facts are used up, only filler.
    """
    phrasing = Phrasing(bank, stay, day=day, rng=rng)
    words = bank.sentences
    places = {
        kind: [section for section in wording.sections if section in sections]
        for kind, wording in words.facts.items()
    }
    yield rng.choice(places["principal"]), phrasing.problem("principal", stay.principal)

    mentions = 1 if target < 300 else 2 if target < 1000 else 3
    groups: dict[str, tuple[Condition, ...]] = {
        "main": (stay.principal,),
        "comorbidity": stay.patient.comorbidities,
        "historical": stay.historical,
        "negated": stay.negated,
        "family": stay.patient.family,
        "possible": stay.possible,
    }
    facts: list[tuple[str, Condition | None]] = [
        (kind, condition) for kind, group in groups.items() for condition in group
    ]
    facts += [(kind, None) for kind, n in _STATEMENTS.items() for _ in range(n)]
    facts = [*facts, ("main", stay.principal)] * mentions
    rng.shuffle(facts)
    fillers = [(section, text) for section in sections for text in words.filler.get(section, ())]
    rng.shuffle(fillers)
    daily = [(section, text) for section in sections for text in words.daily.get(section, ())]
    while True:
        if facts and rng.random() >= _FILLER_SHARE:
            kind, condition = facts.pop()
            section = rng.choice(places[kind])
            if condition is None:
                yield section, phrasing.statement(kind)
            else:
                others = [c for c in groups[kind] if c is not condition]
                yield section, phrasing.problem(kind, condition, others)
        else:
            section, template = fillers.pop() if fillers else rng.choice(daily)
            yield section, phrasing.filler(template)


def _write(
    writer: NoteWriter,
    headings: dict[str, str],
    sentences: dict[str, list[Sentence]],
    *,
    one_line: bool,
    rng: random.Random,
) -> None:
    """Write the sections that have sentences, in one author's layout."""
    upper = rng.random() < 0.4
    after_heading = rng.choice((" ", "\n"))
    between_sections = " " if one_line else rng.choice(("\n", "\n\n"))
    between_sentences = " " if one_line else rng.choice((" ", " ", "\n"))
    is_first = True
    for section, heading in headings.items():
        if not sentences[section]:
            continue
        if not is_first:
            writer.write(between_sections)
        is_first = False
        if heading:
            writer.write((heading.upper() if upper else heading) + after_heading)
        for k, sentence in enumerate(sentences[section]):
            if k:
                writer.write(between_sentences)
            writer.write_sentence(sentence)
