"""One rule: a string that, found in a note, marks a mention."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from clinical_tl.data.formats.problems import is_encodable
from clinical_tl.display.discreet import Discreet
from clinical_tl.errors import NoteError, shown_id
from clinical_tl.rules.measures import lowered

LONGEST_ABBREVIATION = 6


@dataclass(frozen=True, eq=False, repr=False)
class Rule(Discreet):
    """Marks every whole-word occurrence of `pattern` as `label`.

    White space of the pattern matches any white space, and case counts only where `match_case`
    says so. `concepts` are the ids that the source gives the string, several where it is
    ambiguous. `origin` names the source, `id` is unique in a set of rules and begins with the
    origin. `support` is how often the rule fired on the source notes, `precision` the share of
    these that are gold mentions there, `None` if it never fired (see `pruning`).
    """

    HIDDEN: ClassVar[frozenset[str]] = frozenset({"pattern"})

    id: str
    pattern: str
    label: str
    origin: str
    concepts: tuple[str, ...] = ()
    match_case: bool = False
    support: int = 0
    precision: float | None = None

    def __post_init__(self) -> None:
        if not self.key:
            raise NoteError(
                f"rule {shown_id(self.id)!r}: its pattern is empty or blank; allowed: a string "
                "with at least one visible character"
            )
        if not is_encodable(self.pattern):
            raise NoteError(
                f"rule {shown_id(self.id)!r}: its pattern has characters that no UTF-8 file can "
                "hold (bytes read with the wrong encoding?); read the source as UTF-8"
            )
        if not self.label:
            raise NoteError(
                f"rule {shown_id(self.id)!r}: it has no label; allowed: any string but ''"
            )
        if self.support < 0 or (self.precision is not None and not 0 <= self.precision <= 1):
            raise NoteError(
                f"rule {shown_id(self.id)!r}: support {self.support}, precision {self.precision}; "
                "allowed: 0 or more, and 0 to 1 or None"
            )

    @property
    def key(self) -> tuple[str, ...]:
        """The pattern's units in lower case."""
        return lowered(self.pattern)


def is_abbreviation(forms: Iterable[str]) -> bool:
    """Whether a string is only ever written in capitals and is short, as WAS or A-T.

    Such a string is matched in capitals only: in lower case it is often another word.
    """
    return all(form.isupper() and len(form) <= LONGEST_ABBREVIATION for form in forms)
