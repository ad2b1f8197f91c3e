"""ICD-10-CM codes: one spelling, descriptions, hierarchy and a check against the tabular list.

The list is the one that the package `simple-icd-10-cm` carries (98,505 chapters, blocks,
categories and codes in the release of April 2026). Loading it takes about a second, so it
happens on first need.

A code is *well-formed* (letter, digit, letter or digit, then up to four more letters or
digits; or of a category that the list has all the same, QA0), *listed* or not. Codes that are
well-formed but absent are kept: real corpora use older releases and leave off seventh
characters. Malformed strings raise `NoteError`, or are reported by their position; what they
say is never shown, since a wrong column mapping would put a whole note there.

ICD-9-CM's V and E codes are well-formed as well, and mean something else: V58.61, long-term use
of anticoagulants, has the letters of V58, occupant of a pick-up truck. No category, chapter or
description is given to them, and a set of codes that has some is not trained on.

Registers that want four characters pad the codes that have three: `I10X` is I10.
"""

from __future__ import annotations

import re
import warnings
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from clinical_tl.data.codes.code_system import CodeSystem, names_at
from clinical_tl.errors import ConfigError, NoteError, shown_value

if TYPE_CHECKING:
    from types import ModuleType

Level = Literal["code", "category", "chapter"]
LEVELS: tuple[Level, ...] = ("code", "category", "chapter")

_WELL_FORMED = re.compile(r"([A-Z][0-9A-Z][0-9A-Z])(?:\.?([0-9A-Z]{1,4}))?", re.ASCII)
# ICD-9-CM: V01 to V91, with one or two digits more; E000 to E030 and E800 to E999 with one.
_ICD9_V = re.compile(r"V\d\d(?:\.?\d{1,2})?", re.ASCII)
_ICD9_E = re.compile(r"E(?:0[0-2]\d|030|[89]\d\d)(?:\.?\d)?", re.ASCII)
_ICD9_NUMBER = re.compile(r"\d{3}(?:\.?\d{1,2})?", re.ASCII)
# Four characters with a dot after the third are spelt alike in the WHO's ICD-10.
_SHARED_SPELLING = re.compile(r"V\d\d(?:\.\d)?", re.ASCII)
ICD9_MEND = (
    "they are spelt as ICD-9-CM codes, which mean something else: train with "
    "code_system='icd9cm' where all are; where a table has both (MIMIC-IV's icd_version), read "
    "one of them (icd_version=10), or map them (such as by the general equivalence mappings of "
    "the CMS); codes that are ICD-10 all the same need their dot after the third character, and "
    "no WHO activity digit"
)
_CHAPTER_RANGE = re.compile(r"(.+) \(([A-Z]\w{2})-([A-Z]\w{2})\)")
# The list's own words for what may be left out: modifiers in brackets, "not otherwise specified".
_OPTIONAL = re.compile(r"\([^()]*\)|,? \b(?:NOS|unspecified)\b")
_SHOWN_CODES = 10
LONGEST_SUBCATEGORY = 5
"""Characters, dot included: the titles of longer codes say side and encounter besides."""
_ROMAN = (
    *("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI"),
    *("XII", "XIII", "XIV", "XV", "XVI", "XVII", "XVIII", "XIX", "XX", "XXI", "XXII"),
)


@dataclass(frozen=True)
class Chapter:
    """A chapter of the tabular list, e.g. IX, I00–I99, diseases of the circulatory system.

    `first` and `last` are the three-character categories at its ends.
    """

    number: int
    first: str
    last: str
    title: str

    @property
    def roman(self) -> str:
        """The chapter's number as the list prints it."""
        return _ROMAN[self.number - 1]

    @property
    def name(self) -> str:
        """A short, unique label: `IX I00-I99`."""
        return f"{self.roman} {self.first}-{self.last}"


@dataclass(frozen=True)
class CodeReport:
    """What `check_codes` found.

    Attributes:
        listed: distinct normalised codes of the tabular list, sorted.
        absent: distinct normalised codes that are well-formed but not in the list, sorted.
        malformed: positions, in the sequence given, of what is no code at all.
        icd9: positions of what is spelt as an ICD-9-CM code: numbers, E codes with their own
            dot, V and E codes that the list lacks; all V and E codes of a set that has no
            others.
        normalised: distinct (as given, normalised) pairs of the well-formed codes whose
            spelling changed, sorted.
        rows: how many codes were given.
    """

    listed: tuple[str, ...]
    absent: tuple[str, ...]
    malformed: tuple[int, ...]
    normalised: tuple[tuple[str, str], ...]
    rows: int
    icd9: tuple[int, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether every code is in the tabular list."""
        return not self.absent and not self.malformed and not self.icd9

    def __str__(self) -> str:
        """One line for a person: counts and the first few of what is amiss."""
        parts = [f"{self.rows} codes: {len(self.listed)} distinct ones listed"]
        if self.absent:
            parts.append(
                f"{len(self.absent)} distinct ones absent from the tabular list and kept "
                f"({_some(self.absent)})"
            )
        if self.malformed:
            parts.append(f"{len(self.malformed)} malformed at positions {_some(self.malformed)}")
        if self.icd9:
            parts.append(f"{len(self.icd9)} spelt as ICD-9-CM at positions {_some(self.icd9)}")
        return "; ".join(parts)


def normalise_code(code: str) -> str:
    """The one spelling of a code: no outer whitespace, upper case, dot after three characters.

    Raises:
        NoteError: what is given can't be an ICD-10-CM code. The message carries its length
            only.

    Example:
        >>> normalise_code(" i2510 "), normalise_code("s22.49xa")
        ('I25.10', 'S22.49XA')
    """
    if not isinstance(code, str):
        raise NoteError(
            f"a diagnosis code must be a string such as 'I25.10', got {type(code).__name__}; "
            "read the code column as text"
        )
    match = _WELL_FORMED.fullmatch(code.strip().upper())
    # Words have letters alone in front, too; of codes a single category has.
    if match is None or not (match[1][1].isdigit() or _tabular_list().is_valid_item(match[1])):
        raise NoteError(
            f"a string of {len(code)} characters is no ICD-10-CM code; allowed: a letter, a "
            "digit, a letter or digit, then up to four letters or digits with or without a dot "
            "('I10', 'I25.10', 'I2510', 's22.49xa'); check which column holds the codes"
        )
    category, rest = match.groups()
    # Of a category with finer codes the X may be a placeholder that lost what follows it.
    if rest == "X" and is_complete(category):
        rest = None
    return f"{category}.{rest}" if rest else str(category)


def is_complete(category: str) -> bool:
    """Whether a category of the list has no finer codes."""
    tree = _tabular_list()
    return bool(tree.is_valid_item(category) and tree.is_leaf(category))


def is_listed(code: str) -> bool:
    """Whether the code, in any spelling, is in the tabular list.

    Categories and subcategories count as much as codes that can be billed; blocks and
    chapters don't. A malformed code isn't listed.
    """
    try:
        normalised = normalise_code(code)
    except NoteError:
        return False
    return bool(_tabular_list().is_valid_item(normalised))


def description(code: str) -> str | None:
    """The code's title in the tabular list, `None` where it is absent from it.

    Raises:
        NoteError: the code is malformed.
    """
    normalised = normalise_code(code)
    if not _tabular_list().is_valid_item(normalised):
        return None
    return str(_tabular_list().get_description(normalised))


def category(code: str) -> str:
    """The three-character category, also of codes that aren't listed.

    Raises:
        NoteError: the code is malformed, or an ICD-9-CM code, whose category is another one.
    """
    normalised = normalise_code(code)
    if _is_icd9(code):
        raise NoteError(f"a code of {len(code)} characters has no ICD-10-CM category: {ICD9_MEND}")
    return normalised[:3]


def chapter(code: str) -> Chapter:
    """The chapter the code belongs to, also for codes that aren't listed.

    The chapters' ranges are widened until they meet, at a change of letter where there is one,
    so that codes of other releases (E90, F00, T98) find the chapter they had there.

    Raises:
        NoteError: as `category`.
    """
    wanted = category(code)
    chapters = chapters_by_letter()
    after = bisect_right([c.first for c in chapters], wanted)
    # F00 lies between E00–E89 and F01–F99: its letter decides.
    is_before_next = chapters[after - 1].last[0] < wanted[0]
    return chapters[after if is_before_next else after - 1]


def roll_up(codes: Iterable[str], level: Level = "code") -> tuple[str, ...]:
    """The codes at a coarser level, each once, in order of first appearance.

    What is at that level already stays as it is.

    Args:
        codes: codes in any spelling, or what this function gave.
        level: `"code"` (normalised only), `"category"` (three characters) or `"chapter"`
            (its `Chapter.name`).

    Raises:
        NoteError: a code is malformed, or above the level of codes an ICD-9-CM code.
        ConfigError: the level is unknown.

    Example:
        >>> roll_up(["I25.10", "I10", "i2511"], level="category")
        ('I25', 'I10')
        >>> roll_up(["I25.10", "I10", "E11.9"], level="chapter")
        ('IX I00-I99', 'IV E00-E89')
    """
    if level == "code":
        rolled = [normalise_code(code) for code in codes]
    elif level == "category":
        rolled = [category(code) for code in codes]
    elif level == "chapter":
        rolled = [_chapter_name(code) for code in codes]
    else:
        raise ConfigError(f"level {shown_value(level)} is unknown; allowed: {', '.join(LEVELS)}")
    return tuple(dict.fromkeys(rolled))


def _chapter_name(code: str) -> str:
    return code if code in _chapter_titles() else chapter(code).name


def _title(code: str) -> str | None:
    return _chapter_titles().get(code) or description(code)


@lru_cache(maxsize=1)
def _chapter_titles() -> dict[str, str]:
    return {found.name: found.title for found in chapters_by_letter()}


def check_codes(codes: Iterable[str]) -> CodeReport:
    """Sort codes into listed, absent and malformed; nothing is dropped and nothing raised."""
    listed: set[str] = set()
    absent: set[str] = set()
    changed: set[tuple[str, str]] = set()
    malformed: list[int] = []
    icd9: list[int] = []
    spelt_alike: dict[int, str] = {}
    rows = 0
    for position, code in enumerate(codes):
        rows += 1
        try:
            normalised = normalise_code(code)
        except NoteError:
            malformed.append(position)
            if _is_icd9(code):
                icd9.append(position)
            continue
        if _is_icd9(code):
            icd9.append(position)
        elif _is_v_or_e(code):
            spelt_alike[position] = normalised[0]
        (listed if is_listed(normalised) else absent).add(normalised)
        if normalised != code:
            changed.add((code, normalised))
    # Notes coded in ICD-10 have more than accidents, in V codes shorter than any that is billed.
    if len(spelt_alike) + len(icd9) == rows and (icd9 or "V" in spelt_alike.values()):
        icd9 = list(range(rows))
    return CodeReport(
        listed=tuple(sorted(listed)),
        absent=tuple(sorted(absent)),
        malformed=tuple(malformed),
        normalised=tuple(sorted(changed)),
        rows=rows,
        icd9=tuple(icd9),
    )


def _is_v_or_e(code: str) -> bool:
    """Whether a code could be one of ICD-9-CM's V and E codes, by its spelling."""
    spelt = code.strip().upper()
    return bool(_ICD9_V.fullmatch(spelt) or _ICD9_E.fullmatch(spelt))


def _is_icd9(code: object) -> bool:
    """Whether it is an ICD-9-CM code, and surely no ICD-10-CM code."""
    if not isinstance(code, str):
        return False
    spelt = code.strip().upper()
    if _ICD9_NUMBER.fullmatch(spelt):
        return True
    return _is_v_or_e(spelt) and not _SHARED_SPELLING.fullmatch(spelt) and not is_listed(spelt)


@lru_cache(maxsize=2)
def names(level: str) -> Mapping[str, Sequence[str]]:
    """Every listed code of a level, and what the tabular list calls it: its title first.

    The others are what it is said to include. Chapters have no names that a note would use.
    """
    every = filter(_WELL_FORMED.fullmatch, _tabular_list().get_all_codes())
    return names_at(level, {code: _terms(code) for code in every}, LONGEST_SUBCATEGORY)


def _terms(code: str) -> list[str]:
    listed = _tabular_list()
    title = listed.get_description(code)
    said = [title, *listed.get_inclusion_term(code), *listed.get_includes(code)]
    return [title, *(" ".join(_OPTIONAL.sub(" ", name).split()) for name in said)]


@lru_cache(maxsize=1)
def chapters_by_letter() -> tuple[Chapter, ...]:
    """All 22 chapters, ordered by their first category (so XXII, U00–U85, precedes XX)."""
    chapters: list[Chapter] = []
    for number in range(1, len(_ROMAN) + 1):
        match = _CHAPTER_RANGE.fullmatch(_tabular_list().get_description(str(number)))
        if match is None:
            raise ConfigError(
                f"chapter {number} of the installed ICD-10-CM list has no category range in its "
                "title; install simple-icd-10-cm 1.5 or later"
            )
        title, first, last = match.groups()
        chapters.append(Chapter(number, first, last, title))
    return tuple(sorted(chapters, key=lambda c: c.first))


@lru_cache(maxsize=1)
def _tabular_list() -> ModuleType:
    with warnings.catch_warnings():
        # Its loader calls importlib.resources.read_text, deprecated in Python 3.11 and 3.12.
        warnings.simplefilter("ignore", DeprecationWarning)
        import simple_icd_10_cm
    module: ModuleType = simple_icd_10_cm
    return module


def _some(items: Sequence[object]) -> str:
    shown = ", ".join(str(item) for item in items[:_SHOWN_CODES])
    return shown + (", …" if len(items) > _SHOWN_CODES else "")


ICD10CM = CodeSystem(
    "icd10cm",
    "ICD-10-CM",
    "a letter, a digit, then 1 to 5 letters or digits",
    normalise_code,
    {"category": category, "chapter": _chapter_name},
    describe=_title,
    names=names,
    lists=True,
    foreign=lambda codes: check_codes(codes).icd9,
    hints=(
        (
            re.compile("|".join(p.pattern for p in (_ICD9_V, _ICD9_E, _ICD9_NUMBER)), re.ASCII),
            ICD9_MEND,
        ),
        (
            re.compile(r"(?=.*\d)[0-9A-HJ-NP-Z]{7}", re.ASCII),
            "they are spelt as procedures of ICD-10-PCS: code_system='icd10pcs'; diagnoses and "
            "procedures in one list are 'any'",
        ),
    ),
)
