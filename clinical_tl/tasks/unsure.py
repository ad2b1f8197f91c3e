"""What a silver note's teacher was unsure of: training leaves it open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Any

from clinical_tl.errors import TaskError, shown_id
from clinical_tl.schema import Note


def unsure_stretches(note: Note) -> list[tuple[int, int]]:
    """Stretches of a silver note's text that are neither mention nor not.

    Raises `TaskError` where `metadata["silver"]["unsure"]` is no list of [start, end].
    """
    return [(int(start), int(end)) for start, end in _found(note, "unsure", list | tuple)]


def unsure_codes(note: Note) -> tuple[str, ...]:
    """Codes that a silver note has or has not.

    Raises `TaskError` where `metadata["silver"]["unsure_codes"]` is no list of codes.
    """
    return tuple(_found(note, "unsure_codes", str))


def _found(note: Note, name: str, kinds: type | UnionType) -> Sequence[Any]:
    silver = note.metadata.get("silver")
    found = silver.get(name, ()) if isinstance(silver, Mapping) else ()
    if not isinstance(found, list | tuple) or not all(isinstance(item, kinds) for item in found):
        raise TaskError(
            f"note {shown_id(note.note_id)!r}: metadata['silver'][{name!r}] is no list of "
            f"{'codes' if kinds is str else '[start, end]'}"
        )
    return found
