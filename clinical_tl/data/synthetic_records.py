"""The records that the synthetic notes' banks are made of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Condition:
    """A diagnosis that a synthetic patient can have.

    Attributes:
        code: its ICD-10-CM code.
        specialty: whose patient someone is when this is the main problem.
        names: surface forms, commonest first: full name, abbreviations, paraphrases. No
            form belongs to two conditions.
        drugs: names of drugs (`Drug.name`) given for it.
        chronic: lasts, so a note never calls it resolved; otherwise it passes.
        prevalence: weight as a comorbidity, relative to the other conditions.
        qualifiers: phrases that may precede a name without changing the code.
    """

    code: str
    specialty: str
    names: tuple[str, ...]
    drugs: tuple[str, ...]
    chronic: bool = False
    prevalence: float = 0.3
    qualifiers: tuple[str, ...] = ()

    @property
    def category(self) -> str:
        """The code's first three characters."""
        return self.code[:3]


@dataclass(frozen=True)
class Drug:
    """A drug with the doses it is written with; `aliases` are brands and short forms."""

    name: str
    doses: tuple[str, ...]
    aliases: tuple[str, ...] = ()
