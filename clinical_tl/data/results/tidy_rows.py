"""Tidy rows: one for each thing that is said of a note, with the same columns whatever is said."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from clinical_tl.data.codes.icd10cm import check_codes, description, is_listed
from clinical_tl.data.notes import Notes
from clinical_tl.schema import Note, Prediction, Span

Columns: TypeAlias = Mapping[str, type]
"""Column → type of its cells, all of which may be `None`."""
Row: TypeAlias = Mapping[str, object]

SAID: Columns = {
    "kind": str,
    "label": str,
    "code": str,
    "title": str,
    "start": int,
    "end": int,
    "score": float,
    "head": str,
    "tail": str,
    "evidence": str,
    "sources": str,
    "fragments": str,
    "concepts": str,
    "attributes": str,
    "novelty": float,
}
TEXT = "text"
# A spreadsheet keeps fifteen digits of a number; longer ones are ids, and stay text.
MOST_WHOLE = 10**15


class TidyRows:
    """The rows of predictions.

    `kind` is `class`, `code`, `mention`, `relation`, or `nothing` for a note of which nothing is
    said. Offsets are characters, half-open; `evidence` and `fragments` are JSON lists of
    `[start, end]`, evidence best first; `sources` what spoke for a code of an open set; `title` is
    a code's, by default in ICD-10-CM, of notes that have none of ICD-9-CM.

    Args:
        notes: the predictions' notes; their patient ids and metadata become columns. Values of
            mixed types are text, nested ones JSON.
        text: whether a column `text` holds what mentions and evidence read in the note.
        titles: a code → its title, where it has one.
    """

    def __init__(
        self,
        notes: Notes | None,
        *,
        text: bool,
        titles: Callable[[str], str | None] | None = None,
    ) -> None:
        self._text = text
        self._titles = titles
        self._names: dict[str, str] = {}
        own = ("note_id", "patient_id", *SAID, TEXT)
        types = {} if notes is None else _metadata_types(notes)
        for name in types:
            column = name
            while column in own or (column != name and column in types):
                column = f"metadata.{column}"
            self._names[name] = column
        self.columns: Columns = {
            "note_id": str,
            **({} if notes is None else {"patient_id": str}),
            **{self._names[name]: kind for name, kind in types.items()},
            **SAID,
            **({TEXT: str} if text else {}),
        }

    def of(self, said: Prediction, note: Note | None) -> Iterator[Row]:
        """The rows of one prediction, every column in each."""
        about: dict[str, object] = {"note_id": said.note_id, "novelty": said.novelty}
        if note is not None:
            about["patient_id"] = note.patient_id
            for name, value in note.metadata.items():
                column = self._names[name]
                about[column] = _cell(value, self.columns[column])
        empty: dict[str, object] = dict.fromkeys(self.columns)
        for row in _said(said, self._titles or _icd10cm(said)):
            stretches = row.pop("stretches", ())
            if self._text and note is not None and stretches:
                row[TEXT] = " … ".join(note.text[start:end] for start, end in stretches)
            yield empty | about | row


def in_words(pairs: Iterable[tuple[str, str]]) -> str | None:
    """Names and values in one cell; `None` if there are none."""
    return "; ".join(f"{name}={value}" for name, value in pairs) or None


def _icd10cm(said: Prediction) -> Callable[[str], str | None]:
    """Titles of codes that are ICD-10-CM's; none where some are spelt as another system's."""
    foreign = check_codes(said.codes or ()).icd9
    return lambda code: description(code) if not foreign and is_listed(code) else None


def _said(said: Prediction, titles: Callable[[str], str | None]) -> Iterator[dict[str, Any]]:
    nothing = True
    for row in _things(said, titles):
        nothing = False
        yield row
    if nothing:
        yield {"kind": "nothing"}


def _things(said: Prediction, titles: Callable[[str], str | None]) -> Iterator[dict[str, Any]]:
    if said.label is not None:
        yield {"kind": "class", "label": said.label, "score": said.scores.get(said.label)}
    for code in said.codes or ():
        evidence = [(span.start, span.end) for span in said.evidence.get(code, ())]
        yield {
            "kind": "code",
            "code": code,
            "title": titles(code),
            "score": said.scores.get(code),
            "evidence": json.dumps(evidence) if evidence else None,
            "sources": "; ".join(said.sources.get(code, ())) or None,
            "stretches": evidence,
        }
    for span in said.spans or ():
        yield _mention(span)
    for relation in said.relations or ():
        yield {"kind": "relation", **vars(relation)}


def _mention(span: Span) -> dict[str, Any]:
    return {
        "kind": "mention",
        "label": span.label,
        "start": span.start,
        "end": span.end,
        "score": span.score,
        "fragments": json.dumps(span.fragments) if span.fragments else None,
        "concepts": "; ".join(span.concepts) or None,
        "attributes": in_words(span.attributes),
        "stretches": span.fragments or ((span.start, span.end),),
    }


def _metadata_types(notes: Notes) -> dict[str, type]:
    found: dict[str, set[type]] = {}
    for note in notes:
        for name, value in note.metadata.items():
            found.setdefault(name, set()).update(() if value is None else (_type(value),))
    return {name: _common(types) for name, types in found.items()}


def _type(value: object) -> type:
    if isinstance(value, bool):
        return bool
    if isinstance(value, int):
        return int if abs(value) < MOST_WHOLE else str
    return float if isinstance(value, float) else str


def _common(types: set[type]) -> type:
    if len(types) == 1:
        return next(iter(types))
    return float if types == {int, float} else str


def _cell(value: Any, kind: type) -> object:  # noqa: ANN401  (whatever metadata holds)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if kind is str:
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return float(value) if kind is float else value
