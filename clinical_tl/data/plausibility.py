"""`check_plausible`: whether labels and ids are names, or a column of text mapped by mistake.

A model's folder holds its labels, and predictions hold ids: a text that stands in their place
would leave with them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

from clinical_tl.errors import (
    ClinicalTLError,
    TaskError,
    blankless_letters,
    count_words,
    has_escapes,
)
from clinical_tl.schema import Note

Field = Literal["label", "codes", "spans", "relations", "note_id", "patient_id"]
FIELDS: tuple[Field, ...] = get_args(Field)
IDS: tuple[Field, ...] = ("note_id", "patient_id")
SAID: dict[Field, str] = {
    "label": "labels",
    "codes": "codes",
    "spans": "labels of spans",
    "relations": "labels of relations",
    "note_id": "note ids",
    "patient_id": "patient ids",
}
# The longest description in ICD-10-CM has 228 characters.
LONGEST_LABEL = 256
LONGEST_ID = 128
# "Type 2 diabetes mellitus with diabetic chronic kidney disease" has nine words.
MANY_WORDS = 9
MANY_CHARACTERS = 80
MANY_BLANKLESS = 20
# "cantemist_train_cc_onco_0001" has four.
MANY_ID_WORDS = 4
# Of fewer, each may well have its own label.
FEWEST = 20
HALF = 0.5
_BREAK = re.compile(r"[\r\n\v\f\x85\u2028\u2029]")


def check_plausible(
    notes: Sequence[Note],
    *names: Field,
    allow_implausible: bool,
    error: type[ClinicalTLError] = TaskError,
) -> None:
    """Refuse labels, or ids, that look like text and not like names; counts alone are said.

    Raises:
        error: values with line breaks or too long for a name; values of which half and more
            are sentences that hardly ever occur again; ids, or labels of notes or mentions, that
            are the text itself; labels of at least 20 notes or mentions of which half and more
            have one that no other has.
    """
    for field in () if allow_implausible else names:
        values, texts = _values(notes, field)
        found = _found(field, values, texts)
        if found:
            raise error(
                f"the {SAID[field]} (field {field!r}) do not look like names: {found}. A column of "
                "text may be mapped there by mistake, and would be stored with the model and its "
                "predictions: look at columns=…. If they are right, pass allow_implausible=True"
            )


def _values(notes: Sequence[Note], field: Field) -> tuple[list[str], list[str]]:
    """The field's values, and the text that each is said of; none where one is of many."""
    if field == "spans":
        pairs = [
            (span.label, note.text[span.start : span.end])
            for note in notes
            for span in note.spans or ()
        ]
    elif field == "relations":
        pairs = [(r.label, "") for note in notes for r in note.relations or ()]
    elif field == "codes":
        pairs = [(code, note.text) for note in notes for code in note.codes or ()]
    else:
        given = ((getattr(note, field), note.text) for note in notes)
        pairs = [(value, text) for value, text in given if value is not None]
    return [str(value) for value, _ in pairs], [text for _, text in pairs]


def _found(field: Field, values: Sequence[str], texts: Sequence[str]) -> str:
    """What speaks against the values, in counts; empty where nothing does."""
    if not values:
        return ""
    counts = Counter(values)
    longest = LONGEST_ID if field in IDS else LONGEST_LABEL
    broken = sum(len(value) > longest or bool(_BREAK.search(value)) for value in counts)
    same = sum(_plain(v) == _plain(t) for v, t in zip(values, texts, strict=True) if t)
    sentences = sum(_is_sentence(value, is_id=field in IDS) for value in counts)
    single = sum(n == 1 for n in counts.values())
    of = f"of {len(counts)} different ones"
    if broken:
        return f"{broken} {of} have line breaks or over {longest} characters"
    if same >= HALF * len(values):
        what = "the mention's" if field == "spans" else "the note's"
        return f"{same} of {len(values)} are {what} own text"
    if sentences >= HALF * len(counts) and (field in IDS or single >= HALF * len(values)):
        return f"{sentences} {of} are sentences (mean length {_mean(counts):.0f} characters)"
    alone = field in ("label", "spans", "relations")
    if alone and len(values) >= FEWEST and single >= HALF * len(values):
        return f"{single} of {len(values)} occur only once"
    return ""


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _is_sentence(value: str, *, is_id: bool) -> bool:
    if is_id and (count_words(value) > MANY_ID_WORDS or has_escapes(value)):
        return True
    return (
        len(value) > MANY_CHARACTERS
        or max(len(value.split()), count_words(value)) > MANY_WORDS
        or blankless_letters(value) > MANY_BLANKLESS
    )


def _mean(values: Iterable[str]) -> float:
    lengths = [len(value) for value in values]
    return sum(lengths) / len(lengths)
