"""A hospital's export as it comes: one table of German and Spanish letters, with its mess.

Semicolons and Windows' cp1252, patients' numbers as floats, codes in one cell, letters over several
lines with typographic quotes, several letters a patient, some of them blank, blank rows at the end,
cells that say `NA` and cells that say nothing. All of it is made up.
"""

from __future__ import annotations

import csv
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HEADER = ("Fallnr", "PatNr", "Sprache", "Datum", "Abteilung", "Diagnosen", "Brieftext")
OPTIONS: dict[str, Any] = {
    "columns": {
        "note_id": "Fallnr",
        "patient_id": "PatNr",
        "text": "Brieftext",
        "label": "Abteilung",
        "codes": "Diagnosen",
    },
    "separator": ",",
    "encoding": "cp1252",
    "metadata_columns": ["Sprache", "Datum"],
    "on_error": "skip",
}
"""What `read_notes` must be told: blank letters are skipped, listed and counted."""

# Department → (codes, German, Spanish).
STAYS = {
    "Kardiologie": (
        ("I10", "I50.9", "I48.0"),
        ("Bluthochdruck seit Jahren, jetzt Luftnot und Ödeme.", "Neues Vorhofflimmern im EKG."),
        ("Hipertensión arterial de años, ahora disnea y edemas.", "Fibrilación auricular nueva."),
    ),
    "Diabetologie": (
        ("E11.9", "E11.65", "E78.5"),
        ("Blutzucker entgleist, HbA1c 9,8 %.", "Füße ohne Ulkus, Metformin „wie bisher“."),
        ("Glucemia descompensada, HbA1c 9,8 %.", "Pie sin úlcera, metformina «como antes»."),
    ),
    "Pneumologie": (
        ("J44.1", "J18.9"),
        ("Husten mit Auswurf – Rasselgeräusche beidseits.", "Röntgen: Infiltrat rechts basal."),
        ("Tos con esputo – crepitantes bilaterales.", "Radiografía: infiltrado basal derecho."),
    ),
    "Neurologie": (
        ("G40.9", "I63.9"),
        ("Krampfanfall zu Hause, postiktal verwirrt.", "Schwäche des linken Arms, Sprache frei."),
        ("Crisis convulsiva en casa, confusión posterior.", "Debilidad del brazo izquierdo."),
    ),
}
GREETINGS = {
    "de": ("Sehr geehrte Kollegin,\r\n", "\r\nMit freundlichen Grüßen"),
    "es": ("Estimada compañera:\r\n¿Qué hubo? ", "\r\nUn cordial saludo"),
}


@dataclass
class Hospital:
    """What was written, counted while writing.

    Attributes:
        notes: letters that are not blank.
        blank: letters without text.
        patients: patients of those notes, unknown ones aside.
        labels: department → notes.
        codes: notes that have codes, need none (`()`), are not coded (`None`).
        languages: language → notes.
    """

    notes: int = 0
    blank: int = 0
    patients: set[str] = field(default_factory=set)
    labels: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)


def write_hospital(path: Path, *, patients: int = 60, seed: int = 0) -> Hospital:
    """Writes the table and tells what is in it; `read_notes(path, **OPTIONS)` reads it."""
    draw = random.Random(seed)
    written = Hospital()
    with path.open("w", encoding="cp1252", newline="") as stream:
        rows = csv.writer(stream, delimiter=";")
        rows.writerow(HEADER)
        number = 0
        for patient in range(patients):
            for _ in range(draw.randint(1, 4)):
                number += 1
                rows.writerow(_row(number, patient, draw, written))
        rows.writerows([[""] * len(HEADER)] * 3)
    return written


def _row(number: int, patient: int, draw: random.Random, written: Hospital) -> list[str]:
    language = "de" if patient % 3 else "es"
    department = draw.choice(list(STAYS))
    codes, *sentences = STAYS[department]
    said = sentences[language == "es"]
    said = draw.sample(said, draw.randint(1, len(said)))
    greeting, regards = GREETINGS[language]
    text = f"{greeting}{' '.join(said)} Gewicht {draw.randint(50, 110)} kg.{regards}"
    cell = ", ".join(draw.sample(codes, draw.randint(1, len(codes))))
    kind = draw.choices(("coded", "none", "not"), (8, 1, 1))[0]
    cell = {"coded": cell, "none": "", "not": "NA"}[kind]
    known = draw.random() > 0.1
    label = department if draw.random() > 0.1 else ""
    if draw.random() < 0.05:
        written.blank += 1
        text = draw.choice(("", "  "))
    else:
        written.notes += 1
        written.codes[kind] += 1
        written.languages[language] += 1
        written.labels.update([label] if label else [])
        written.patients.update([str(10_000 + patient)] if known else [])
    day = f"{draw.randint(1, 28):02}.{draw.randint(1, 12):02}.2024"
    shown = f"{10_000 + patient}.0" if known else ""
    return [f"F{number:04}", shown, language, day, label, cell, text]
