"""`Discreet`: records that hold text of notes and never show it."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from dataclasses import fields
from typing import TYPE_CHECKING, Any, ClassVar

from clinical_tl.errors import shown_id

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class Discreet:
    """A dataclass that shows numbers, counts and names, but neither text nor what else it holds.

    Compared and hashed by its fields, as dataclasses are. That is written here, and not left to
    `@dataclass` (`eq=False, repr=False`), since pytest shows the fields of two dataclasses that
    differ, unless they compare themselves: a failing assertion would print a note.
    """

    HIDDEN: ClassVar[frozenset[str]] = frozenset()
    """Fields of text, of which the length alone is shown."""

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self is other or _compared(self) == _compared(other)

    def __hash__(self) -> int:
        return hash(_compared(self))

    def __repr__(self) -> str:
        return f"{type(self).__qualname__}({', '.join(self._shown())})"

    def _shown(self) -> Iterator[str]:
        for field in fields(_dataclass(self)):
            value = getattr(self, field.name)
            yield f"{field.name}={_described(value, hidden=field.name in self.HIDDEN)}"


def _compared(record: Discreet) -> tuple[Any, ...]:
    return tuple(
        getattr(record, name)
        for name, field in _dataclass(record).__dataclass_fields__.items()
        if field.compare
    )


def _dataclass(record: object) -> DataclassInstance:
    return record  # type: ignore[return-value]  # every subclass is decorated as one


def _described(value: object, *, hidden: bool) -> str:
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    if isinstance(value, str):
        return f"<{len(value):,} characters>" if hidden else repr(shown_id(value, "text"))
    if isinstance(value, Discreet) and not hidden:
        return repr(value)
    return f"<{len(value):,}>" if isinstance(value, Sized) else f"<{type(value).__name__}>"
