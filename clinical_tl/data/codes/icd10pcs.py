"""ICD-10-PCS procedures: seven characters, each with its meaning at its place; no dots."""

from __future__ import annotations

import re

from clinical_tl.data.codes.code_system import CodeSystem, spelt

TITLE = "ICD-10-PCS"
SHAPE = "seven digits or letters other than I and O ('02HV33Z'), without a dot"

_CODE = re.compile(r"[0-9A-HJ-NP-Z]{7}", re.ASCII)
_TABLE = re.compile(r"[0-9A-HJ-NP-Z]{3}", re.ASCII)
_LOST_ZEROS = (
    "they are digits alone and too few, which a spreadsheet does to leading zeros (0270346 becomes "
    "270346): export the column as text; they are not guessed. Numbers of ICD-9: "
    "code_system='icd9pcs' or 'icd9cm'"
)
_DIAGNOSES = "they are spelt as diagnoses, which are another system (code_system=…)"


def normalise(code: str) -> str:
    """The code in capitals.

    >>> normalise(" 02hv33z")
    '02HV33Z'

    Raises `NoteError` for what is no code; it carries its length only.
    """
    return spelt(code, _CODE, TITLE, SHAPE)[0]


def category(code: str) -> str:
    """The first three characters: section, body system and operation. Raises as `normalise`.

    >>> category("02HV33Z"), category("02H")
    ('02H', '02H')
    """
    return code if _TABLE.fullmatch(code) else normalise(code)[:3]


ICD10PCS = CodeSystem(
    "icd10pcs",
    TITLE,
    SHAPE,
    normalise,
    {"category": category},
    hints=(
        (re.compile(r"\d{1,6}", re.ASCII), _LOST_ZEROS),
        (re.compile(r"[A-Z]\d[0-9A-Z](?:\.[0-9A-Z]{1,4})?", re.ASCII), _DIAGNOSES),
    ),
)
