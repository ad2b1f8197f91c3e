"""ICD-10-GM, the German modification: as the WHO's, with marks of its own.

`!` marks a code that is only said beside another, `.-` one that has finer ones. The letters of
certainty and side that billing puts behind a code (`E11.90G`) are no part of it, and one of them
says that the disease was ruled out: such codes are refused, not cut. No package of the index
holds the titles: `codes=` reads a table (the BfArM publishes one each year).
"""

from __future__ import annotations

import re

from clinical_tl.data.codes.code_system import CodeSystem, dotted, spelt
from clinical_tl.data.codes.icd10who import CHAPTERS, ICD9_NUMBERS, chapter_of

TITLE = "ICD-10-GM"
SHAPE = (
    "a letter and two digits, up to two digits more ('I10.90', 'I1090'), with or without the marks "
    "'.-', '!', '*', '+', '†'"
)

_CODE = re.compile(r"([A-Z]\d\d)(?:\.?(\d{1,2})-?|\.?-)?[!†+*]?", re.ASCII)
_QUALIFIED = (
    re.compile(r"[A-Z]\d\d(?:\.?\d{1,2})?(?:\.?-)?[!†+*]?\s?[GVZARLB]\s?[GVZARLB]?", re.ASCII),
    "letters of certainty (G, V, Z, A) or side (R, L, B) stand behind the code: put them into a "
    "column of their own, and leave out what is ruled out (A)",
)


def normalise(code: str) -> str:
    """The one spelling: capitals, the dot after three characters, no marks.

    >>> normalise("I1090"), normalise("u69.11!"), normalise("I10.-"), normalise("N08.3*")
    ('I10.90', 'U69.11', 'I10', 'N08.3')

    Raises `NoteError` for what is no code; it carries its length only.
    """
    match = spelt(code, _CODE, TITLE, SHAPE)
    return dotted(match[1], match[2])


def category(code: str) -> str:
    """The three characters before the dot. Raises as `normalise`."""
    return normalise(code)[:3]


def chapter(code: str) -> str:
    """The chapter, also of a chapter. Raises as `normalise`."""
    return code if code in CHAPTERS else chapter_of(category(code))


ICD10GM = CodeSystem(
    "icd10gm",
    TITLE,
    SHAPE,
    normalise,
    {"category": category, "chapter": chapter},
    hints=(ICD9_NUMBERS, _QUALIFIED),
)
