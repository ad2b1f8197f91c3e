"""ICD-9-CM diagnoses: numbers, V and E codes, their dots put back.

MIMIC-III writes codes without dots: three characters stand before it, of E codes four. The
classification is frozen (its last edition is that of October 2014). No maintained package holds
its titles: `codes=` of `DiagnosisCoding.from_notes` reads a table of them (MIMIC's
`D_ICD_DIAGNOSES`, or that of the CMS, with the columns `code` and `description`).

A spreadsheet that takes codes for numbers drops leading zeros: `0389` (septicaemia) becomes
`389` (hearing loss). What can't be a code any more is refused; that a large set has no code that
begins with 0 is said. Neither is guessed at.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence

from clinical_tl.data.codes.code_system import CodeSystem, dotted, spelt

TITLE = "ICD-9-CM"
SHAPE = (
    "three digits and up to two more ('401.9', '4019'), V with two digits and up to two more "
    "('V58.61'), E with three digits and up to one more ('E849.7')"
)
CHAPTERS = {
    "001-139": "Infectious and parasitic diseases",
    "140-239": "Neoplasms",
    "240-279": "Endocrine, nutritional and metabolic diseases, and immunity disorders",
    "280-289": "Diseases of the blood and blood-forming organs",
    "290-319": "Mental disorders",
    "320-389": "Diseases of the nervous system and sense organs",
    "390-459": "Diseases of the circulatory system",
    "460-519": "Diseases of the respiratory system",
    "520-579": "Diseases of the digestive system",
    "580-629": "Diseases of the genitourinary system",
    "630-679": "Complications of pregnancy, childbirth, and the puerperium",
    "680-709": "Diseases of the skin and subcutaneous tissue",
    "710-739": "Diseases of the musculoskeletal system and connective tissue",
    "740-759": "Congenital anomalies",
    "760-779": "Certain conditions originating in the perinatal period",
    "780-799": "Symptoms, signs, and ill-defined conditions",
    "800-999": "Injury and poisoning",
    "E000-E999": "External causes of injury and poisoning",
    "V01-V91": "Factors influencing health status and contact with health services",
}
# Of inpatients' codes about one in thirty begins with 0: among so many, a set without is odd.
MANY_CODES = 500

_CODE = re.compile(
    r"((?!000)\d{3}|V(?:0[1-9]|[1-8]\d|9[01]))(?:\.?(\d{1,2}))?"
    r"|(E(?:0[0-2]\d|030|[89]\d\d))(?:\.?(\d))?",
    re.ASCII,
)
_FIRST = [name.partition("-")[0] for name in CHAPTERS]
_LOST_ZEROS = (
    "digits before the dot are missing, which a spreadsheet does to leading zeros (008.45 becomes "
    "8.45): export the column as text; they are not guessed. Procedures, two digits before the "
    "dot, are code_system='icd9pcs' (with diagnoses in one list: 'any')"
)
_ICD10 = (
    "they are spelt as ICD-10 codes: code_system='icd10cm' where all are; where a table has both "
    "(MIMIC-IV's icd_version), read one of them (icd_version=9), since equal letters mean other "
    "things"
)


def normalise(code: str) -> str:
    """The one spelling: capitals, the dot after three characters, of E codes after four.

    >>> normalise("4019"), normalise("v5861"), normalise("E8497"), normalise(" 038.9")
    ('401.9', 'V58.61', 'E849.7', '038.9')

    Raises `NoteError` for what is no code; it carries its length only.
    """
    match = spelt(code, _CODE, TITLE, SHAPE)
    return dotted(match[1] or match[3], match[2] or match[4])


def category(code: str) -> str:
    """What stands before the dot. Raises as `normalise`."""
    return normalise(code).partition(".")[0]


def chapter(code: str) -> str:
    """The chapter's range, also of a chapter. Raises as `normalise`.

    >>> chapter("V5861"), chapter("250.00")
    ('V01-V91', '240-279')
    """
    if code in CHAPTERS:
        return code
    return list(CHAPTERS)[bisect_right(_FIRST, category(code)) - 1]


def _doubt(codes: Sequence[str]) -> str:
    numbers = [code for code in codes if code.strip()[:1].isdigit()]
    if len(numbers) < MANY_CODES or any(code.strip().startswith("0") for code in numbers):
        return ""
    return (
        f"none of {len(numbers)} codes that are numbers begins with 0, as infectious diseases do "
        "(0389): if a spreadsheet has dropped zeros, codes mean something else now; look at the "
        "table as it was exported"
    )


ICD9CM = CodeSystem(
    "icd9cm",
    TITLE,
    SHAPE,
    normalise,
    {"category": category, "chapter": chapter},
    describe=CHAPTERS.get,
    hints=(
        (re.compile(r"\d{1,2}(?:\.\d{0,2})?", re.ASCII), _LOST_ZEROS),
        (re.compile(r"[A-Z]\d[0-9A-Z](?:\.?[0-9A-Z]{1,4})?", re.ASCII), _ICD10),
    ),
    doubt=_doubt,
)
