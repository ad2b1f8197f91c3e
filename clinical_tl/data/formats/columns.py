"""Which column of a table holds which field of a note."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from clinical_tl.data.formats.cells import CELL_FIELDS
from clinical_tl.data.formats.nesting import NESTED_FIELDS, look_up, may_hold
from clinical_tl.errors import ConfigError, shown_id, shown_ids
from clinical_tl.schema import NOTE_FIELDS

MetadataColumns = Sequence[str] | Literal["rest"]

TAG_COLUMNS = ("ner_tags", "tags", "labels")
_TOKEN_FIELDS = ("tokens", "tags")
_INNER_FIELDS = tuple(f"{name}.{key}" for name, keys in NESTED_FIELDS.items() for key in keys)
_COLUMN_FIELDS = (*NOTE_FIELDS, *_TOKEN_FIELDS, *_INNER_FIELDS)


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
        scheme: that of the tags, if known (`token_tags`).
        tag_names: what the tags are called that are numbers, in their order.
    """

    columns: Mapping[str, str | None] = field(default_factory=dict)
    metadata_columns: MetadataColumns = ()
    separator: str = ";"
    id_prefix: str | None = None
    as_written: Sequence[str] = ()
    scheme: str | None = None
    tag_names: Sequence[str] = ()

    def __post_init__(self) -> None:
        unknown = sorted(set(self.columns) - set(_COLUMN_FIELDS))
        if unknown:
            raise ConfigError(
                f"columns names the unknown fields {shown_ids(unknown, 'field', at_most=10)}; a "
                f"mapping goes from field to column, and the fields are {list(_COLUMN_FIELDS)}"
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
        return None if column is None else look_up(record, column)[1]

    def keys_of(self, name: str) -> dict[str, str | None]:
        """The keys of the objects in `spans` or `relations`, where they are called otherwise."""
        found = ((key, f"{name}.{key}") for key in NESTED_FIELDS[name])
        return {key: self.columns[field] for key, field in found if field in self.columns}

    def token_columns(self, available: Iterable[str]) -> tuple[str, str | None] | None:
        """The columns of the tokens and of their tags, where the text is given as tokens."""
        tokens, present = self.columns.get("tokens") or "tokens", set(available)
        is_named = "tokens" in self.columns
        if tokens not in present or (not is_named and {"text"} & (present | set(self.columns))):
            return None
        if "tags" in self.columns:
            return tokens, self.columns["tags"]
        return tokens, next((name for name in TAG_COLUMNS if name in present), None)

    def is_bigbio(self, available: Iterable[str]) -> bool:
        """Whether the columns are those of BigBIO's schema for texts with mentions."""
        present = set(available)
        return {"passages", "entities"} <= present and "text" not in present | set(self.columns)

    def missing(self, available: Iterable[str]) -> dict[str, str]:
        """Field → column that must be there (mapped by name, or indispensable) and is not.

        Args:
            available: a record, or the names of a table's columns.
        """
        required = {
            name: column
            for name, column in self.columns.items()
            if column is not None and name not in _INNER_FIELDS
        }
        names = frozenset(available)
        # Records of these have their text, and maybe their id, made.
        is_made = self.token_columns(names) is not None or self.is_bigbio(names)
        if not is_made:
            required.setdefault("text", "text")
        if self.id_prefix is not None:
            required.pop("note_id", None)
        elif not is_made:
            required.setdefault("note_id", "note_id")
        if self.metadata_columns != "rest":
            required |= {
                f"metadata {shown_id(name, 'column')}": name for name in self.metadata_columns
            }
        return {
            name: column
            for name, column in required.items()
            if not (
                look_up(available, column)[0]
                if isinstance(available, Mapping)
                else may_hold(names, column)
            )
        }

    def metadata_of(self, available: Iterable[str]) -> list[str]:
        """The columns that go to `metadata` unchanged."""
        if self.metadata_columns != "rest":
            return list(self.metadata_columns)
        mapped = {self.columns.get(name, name) for name in NOTE_FIELDS}
        return [name for name in available if name not in mapped]
