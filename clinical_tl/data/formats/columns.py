"""Which column of a table holds which field of a note."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from clinical_tl.data.formats.cells import CELL_FIELDS
from clinical_tl.data.formats.column_sets import check_column_set, expanded, is_column_set
from clinical_tl.data.formats.nesting import NESTED_FIELDS, look_up, may_hold
from clinical_tl.data.formats.tag_schemes import Tagging
from clinical_tl.errors import ConfigError, shown_id, shown_ids
from clinical_tl.schema import NOTE_FIELDS

MetadataColumns = Sequence[str] | Literal["rest"]
Columns: TypeAlias = Mapping[str, str | Sequence[str] | None]
"""Field → column; of `label` and `codes` also several columns, or a pattern of their names."""

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
            one; `None` leaves a field out. `label` and `codes` may stand in several columns,
            `{"codes": ["I10", "E11.9"]}` or `{"codes": "DIAG*"}` (`column_sets`).
        metadata_columns: columns to keep in `metadata`, or `"rest"` for all that are left.
        separator: what stands between the codes in a string.
        id_prefix: where given, notes are numbered `<prefix>-1`, … instead of having ids.
        as_written: the fields among `CELL_FIELDS` whose cells mean what they say.
        tagging: how the tags are written and meant, if known (`token_tags`).
        tag_names: what the tags are called that are numbers, in their order.
    """

    columns: Columns = field(default_factory=dict)
    metadata_columns: MetadataColumns = ()
    separator: str = ";"
    id_prefix: str | None = None
    as_written: Sequence[str] = ()
    tagging: Tagging | None = None
    tag_names: Sequence[str] = ()

    def __post_init__(self) -> None:
        unknown = sorted(set(self.columns) - set(_COLUMN_FIELDS))
        if unknown:
            raise ConfigError(
                f"columns names the unknown fields {shown_ids(unknown, 'field', at_most=10)}; a "
                f"mapping goes from field to column, and the fields are {list(_COLUMN_FIELDS)}"
            )
        for name, columns in self.columns.items():
            if is_column_set(name, columns) and columns is not None:
                check_column_set(name, [columns] if isinstance(columns, str) else columns)
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
        """What a record holds for a field in one column, `None` if nothing."""
        column = self.columns.get(name, name)
        return look_up(record, column)[1] if isinstance(column, str) else None

    def values(self, record: Mapping[str, object], name: str) -> dict[str, object] | None:
        """Column → what a record holds for a field in several columns; `None` if it has one."""
        columns = self.columns.get(name)
        if columns is None or not is_column_set(name, columns):
            return None
        return {column: look_up(record, column)[1] for column in expanded(columns, record)}

    def of_field(self, name: str, available: Iterable[str]) -> tuple[str, ...]:
        """The columns of a field, whether they are there or not."""
        columns = self.columns.get(name, name)
        if columns is None:
            return ()
        if not is_column_set(name, columns):
            return (str(columns),)
        return expanded(columns, available)

    def keys_of(self, name: str) -> dict[str, str | None]:
        """The keys of the objects in `spans` or `relations`, where they are called otherwise."""
        found = ((key, f"{name}.{key}") for key in NESTED_FIELDS[name])
        return {key: self._single(field) for key, field in found if field in self.columns}

    def token_columns(self, available: Iterable[str]) -> tuple[str, str | None] | None:
        """The columns of the tokens and of their tags, where the text is given as tokens."""
        tokens, present = self._single("tokens") or "tokens", set(available)
        is_named = "tokens" in self.columns
        if tokens not in present or (not is_named and {"text"} & (present | set(self.columns))):
            return None
        if "tags" in self.columns:
            return tokens, self._single("tags")
        return tokens, next((name for name in TAG_COLUMNS if name in present), None)

    def _single(self, name: str) -> str | None:
        column = self.columns.get(name)
        return column if isinstance(column, str) else None

    def is_bigbio(self, available: Iterable[str]) -> bool:
        """Whether the columns are those of BigBIO's schema for texts with mentions."""
        present = set(available)
        return {"passages", "entities"} <= present and "text" not in present | set(self.columns)

    def missing(self, available: Collection[str]) -> dict[str, str]:
        """Field → column that must be there (mapped by name, or indispensable) and is not.

        Args:
            available: a record, or the names of a table's columns.
        """
        names = frozenset(available)

        def is_there(column: str) -> bool:
            if isinstance(available, Mapping):
                return look_up(available, column)[0]
            return may_hold(names, column)

        required = {
            name: next((column for column in columns if not is_there(column)), columns[0])
            for name in self.columns
            if name not in _INNER_FIELDS and (columns := self.of_field(name, available))
        }
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
        return {name: column for name, column in required.items() if not is_there(column)}

    def metadata_of(self, available: Collection[str]) -> list[str]:
        """The columns that go to `metadata` unchanged."""
        if self.metadata_columns != "rest":
            return list(self.metadata_columns)
        mapped = {column for name in NOTE_FIELDS for column in self.of_field(name, available)}
        return [name for name in available if name not in mapped]
