"""SNOMED CT concepts by their identifiers, which carry a check digit.

Its hierarchy has many parents a concept, and its release needs a licence: there is no level but
the code, and titles come from `codes=`. A spreadsheet rounds identifiers of more than fifteen
digits; the check digit finds that (Verhoeff 1969, Error detecting decimal codes).
"""

from __future__ import annotations

import re
from functools import reduce

from clinical_tl.data.codes.code_system import CodeSystem, spelt
from clinical_tl.errors import NoteError

TITLE = "SNOMED CT"
SHAPE = "the identifier of a concept, 6 to 18 digits whose last one is their check digit"

_DIGITS = re.compile(r"[1-9]\d{5,17}", re.ASCII)
_BASE = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)
# The two digits before the last say what is identified.
_CONCEPTS = ("00", "10")


def normalise(code: str) -> str:
    """The identifier without outer blanks.

    >>> normalise(" 38341003")
    '38341003'

    Raises `NoteError` for what is none: other characters, a wrong check digit, a description's
    identifier.
    """
    found = spelt(code, _DIGITS, TITLE, SHAPE)[0]
    if _checksum(found) or found[-3:-1] not in _CONCEPTS:
        what = "a wrong check digit" if _checksum(found) else "another thing than a concept"
        raise NoteError(f"an identifier of {len(found)} digits has {what}; allowed: {SHAPE}")
    return found


def _checksum(digits: str) -> int:
    """0 where the last digit is right."""
    permutations = [tuple(range(10))]
    for _ in range(7):
        permutations.append(tuple(_BASE[digit] for digit in permutations[-1]))
    turned = (permutations[i % 8][int(digit)] for i, digit in enumerate(reversed(digits)))
    return reduce(_times, turned, 0)


def _times(a: int, b: int) -> int:
    """The product of two elements of the dihedral group of the pentagon, turns before mirrors."""
    if a < 5:
        return (a + b) % 5 if b < 5 else 5 + (a + b) % 5
    return 5 + (a - b) % 5 if b < 5 else (a - b) % 5


SNOMED = CodeSystem(
    "snomed",
    TITLE,
    SHAPE,
    normalise,
    hints=(
        (
            re.compile(r"\d+(?:\.\d+)?E\+?\d+|[1-9]\d{15,17}", re.ASCII),
            "a spreadsheet may have rounded them, which it does from the sixteenth digit on: "
            "export the column as text",
        ),
    ),
)
