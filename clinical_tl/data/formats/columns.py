"""Which column of a table holds which field of a note."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from clinical_tl.data.formats.cells import CELL_FIELDS
from clinical_tl.errors import ConfigError, shown_id, shown_ids
from clinical_tl.schema import NOTE_FIELDS

MetadataColumns = Sequence[str] | Literal["rest"]


@dataclass(frozen=True)
class Layout:
    """The mapping from a table's columns (or a JSON object's keys) to a note's fields.

    Attributes:
        columns: field → column, e.g. `{"text": "section_text", "label": "section_header"}`.
            A field that is not named is read from the column of its own name where there is
            one; `None` leaves a field out.
        metadata_columns: columns to keep in `metadata`, or `"rest"` for all that are left.
        separator: what stands between the codes in a string.
        id_prefix: where given, notes are numbered `<prefix>-1`, … instead of having ids.
        as_written: the fields among `CELL_FIELDS` whose cells mean what they say.
    """

    columns: Mapping[str, str | None] = field(default_factory=dict)
    metadata_columns: MetadataColumns = ()
    separator: str = ";"
    id_prefix: str | None = None
    as_written: Sequence[str] = ()

    def __post_init__(self) -> None:
        unknown = sorted(set(self.columns) - set(NOTE_FIELDS))
        if unknown:
            raise ConfigError(
                f"columns names the unknown fields {shown_ids(unknown, 'field', at_most=10)}; a "
                f"mapping goes from field to column, and the fields are {list(NOTE_FIELDS)}"
            )
        if isinstance(self.metadata_columns, str) and self.metadata_columns != "rest":
            raise ConfigError(
                "metadata_columns must be a list of columns or 'rest': "
                f"metadata_columns=[{shown_id(self.metadata_columns, 'column')!r}]"
            )
        if isinstance(self.as_written, str) or not set(self.as_written) <= set(CELL_FIELDS):
            raise ConfigError(
                f"as_written must be a list of fields, of {list(CELL_FIELDS)}: as_written=['label']"
            )
        if not self.separator:
            raise ConfigError("separator must not be empty; it stands between codes, e.g. ';'")

    def numbered(self, prefix: str) -> Layout:
        """The layout with this prefix of its ids, if notes are numbered at all."""
        return self if self.id_prefix is None else replace(self, id_prefix=prefix)

    def value(self, record: Mapping[str, object], name: str) -> object:
        """What a record holds for a field, `None` if nothing."""
        column = self.columns.get(name, name)
        return None if column is None else record.get(column)

    def missing(self, available: Iterable[str]) -> dict[str, str]:
        """Field → column that must be there (mapped by name, or indispensable) and is not."""
        required = {name: column for name, column in self.columns.items() if column is not None}
        required.setdefault("text", "text")
        if self.id_prefix is None:
            required.setdefault("note_id", "note_id")
        else:
            required.pop("note_id", None)
        if self.metadata_columns != "rest":
            required |= {
                f"metadata {shown_id(name, 'column')}": name for name in self.metadata_columns
            }
        present = set(available)
        return {name: column for name, column in required.items() if column not in present}

    def metadata_of(self, available: Iterable[str]) -> list[str]:
        """The columns that go to `metadata` unchanged."""
        if self.metadata_columns != "rest":
            return list(self.metadata_columns)
        mapped = {self.columns.get(name, name) for name in NOTE_FIELDS}
        return [name for name in available if name not in mapped]
