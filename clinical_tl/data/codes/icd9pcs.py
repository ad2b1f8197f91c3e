"""ICD-9-CM procedures (its volume 3): two digits, a dot, one or two digits more."""

from __future__ import annotations

import re

from clinical_tl.data.codes.code_system import CodeSystem, dotted, spelt

TITLE = "ICD-9-CM procedure"
SHAPE = "two digits and up to two more ('38.93', '3893')"

_CODE = re.compile(r"(\d\d)(?:\.?(\d{1,2}))?", re.ASCII)
_LOST_ZEROS = (
    "a digit before the dot is missing, which a spreadsheet does to leading zeros (03.31 becomes "
    "3.31): export the column as text; they are not guessed"
)


def normalise(code: str) -> str:
    """The one spelling, with the dot.

    >>> normalise("3893"), normalise("54.91")
    ('38.93', '54.91')

    Raises `NoteError` for what is no code; it carries its length only.
    """
    match = spelt(code, _CODE, TITLE, SHAPE)
    return dotted(match[1], match[2])


def category(code: str) -> str:
    """The two digits before the dot. Raises as `normalise`."""
    return normalise(code).partition(".")[0]


ICD9PCS = CodeSystem(
    "icd9pcs",
    TITLE,
    SHAPE,
    normalise,
    {"category": category},
    hints=((re.compile(r"\d(?:\.\d{0,2})?", re.ASCII), _LOST_ZEROS),),
)
