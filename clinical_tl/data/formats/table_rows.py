"""The rows of a table as notes: what CSV, Parquet and spreadsheets have in common."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from clinical_tl.data.formats.columns import Layout
from clinical_tl.data.formats.problems import Faults, Place
from clinical_tl.data.formats.records import record_to_note
from clinical_tl.errors import shown_id
from clinical_tl.schema import Note

Complete = Callable[[Mapping[str, object]], Mapping[str, object] | None]
"""What makes a record with a note's fields of a row of another kind; `None` if it is no note."""

BLANK_ROWS = "rows whose cells are all blank"


@dataclass(frozen=True)
class TableRows:
    """How the rows of a table become notes.

    Attributes:
        layout: which column holds which field.
        translate: makes a record with a note's fields of a row whose columns are of another
            kind, `None` of a row that is no note.
        added: the columns that `translate` adds: the header need not have them.
    """

    layout: Layout
    translate: Complete | None = None
    added: Collection[str] = ()

    def missing(self, header: Collection[str]) -> dict[str, str]:
        """Field → column that must be there and is not."""
        return self.layout.missing([*header, *self.added])

    def accepts(self, header: Sequence[str], place: Place, faults: Faults) -> bool:
        """Whether a header has every name once and what is asked for; what not is a fault."""
        if not header:
            return False
        mark = len(faults)
        if len(set(header)) < len(header):
            faults.add(place, "a header that repeats a column name", "every name once")
        for name, column in self.missing(header).items():
            # The names found are not shown: where the header is missing, they are a note.
            faults.add(
                place,
                f"the header's {len(header)} columns do not include {shown_id(column, 'column')!r}",
                f"the column of {name}; map it with columns={{{name!r}: '<column>'}}"
                f"{_meant(column, header)}{_other_delimiter(header)}{_numbering(name)}",
            )
        return len(faults) == mark

    def note(
        self, record: Mapping[str, object], number: int, place: Place, faults: Faults
    ) -> Note | None:
        """The note of a row, the `number`-th from 1."""
        own = record if self.translate is None else self.translate(record)
        return None if own is None else record_to_note(own, number, place, faults, self.layout)


def _meant(column: str, header: Sequence[str]) -> str:
    # A name that is as good as the one that was asked for says nothing new.
    folded = {name.casefold().strip(): name for name in header}
    near = get_close_matches(column.casefold().strip(), folded, n=1, cutoff=0.8)
    return f" (did you mean {shown_id(folded[near[0]], 'column')!r}?)" if near else ""


def _other_delimiter(header: Sequence[str]) -> str:
    for mark in ",;\t|":
        if len(header) == 1 and mark in header[0]:
            return f" (is the delimiter another? delimiter={mark!r})"
    return ""


def _numbering(name: str) -> str:
    return ", or number the notes: make_ids=True" if name == "note_id" else ""
