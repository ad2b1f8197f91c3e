"""The systems that codes are of; a new one is a line here."""

from __future__ import annotations

from typing import Literal

from clinical_tl.data.codes.as_written import ANY
from clinical_tl.data.codes.code_system import CodeSystem
from clinical_tl.data.codes.icd9cm import ICD9CM
from clinical_tl.data.codes.icd9pcs import ICD9PCS
from clinical_tl.data.codes.icd10cm import ICD10CM
from clinical_tl.data.codes.icd10gm import ICD10GM
from clinical_tl.data.codes.icd10pcs import ICD10PCS
from clinical_tl.data.codes.icd10who import ICD10WHO
from clinical_tl.data.codes.snomed import SNOMED
from clinical_tl.errors import ConfigError, shown_value

SystemName = Literal[
    "icd10cm", "icd9cm", "icd10pcs", "icd9pcs", "icd10who", "icd10gm", "snomed", "any"
]
SYSTEMS: dict[str, CodeSystem] = {
    system.name: system
    for system in (ICD10CM, ICD9CM, ICD10PCS, ICD9PCS, ICD10WHO, ICD10GM, SNOMED, ANY)
}


def find_system(name: str) -> CodeSystem:
    """The system of this name. Raises `ConfigError` for one that is not known."""
    if name not in SYSTEMS:
        raise ConfigError(f"code_system {shown_value(name)}; allowed: {', '.join(SYSTEMS)}")
    return SYSTEMS[name]
