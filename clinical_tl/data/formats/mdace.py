"""MDACE: codes with their evidence in MIMIC-III's notes (Cheng et al. 2023).

A file has an admission's notes with annotations: `begin` and `end` in the note's text and a
`code`. The texts are MIMIC's and are not in it: put each into its note as `text` (`note_id` is
`ROW_ID` of NOTEEVENTS).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from clinical_tl.data.formats.columns import Layout
from clinical_tl.data.formats.files import File
from clinical_tl.data.formats.format import Format
from clinical_tl.data.formats.json_records import read_json_records
from clinical_tl.data.formats.problems import Faults, UnreadableError
from clinical_tl.data.formats.sight import Sight
from clinical_tl.schema import Note

_OWN = ("text", "annotations")


def read_mdace(file: File, faults: Faults, *, layout: Layout) -> Iterator[Note]:
    """Yields a note for every note of an admission.

    Its codes are those of its evidence, each once; the evidence are mentions with the coding
    system as label (`ICD-10-CM`) and the code as concept. `hadm_id` and `category` are there for
    `columns` and `metadata_columns`.
    """
    yield from read_json_records(file, faults, layout, _fields, expand=_notes, own=_OWN)


def _notes(value: object) -> Iterator[Mapping[str, object]]:
    notes = value.get("notes") if isinstance(value, Mapping) else None
    if not isinstance(value, Mapping) or not isinstance(notes, list):
        raise UnreadableError("no list of notes", "hadm_id and notes, as MDACE has them")
    for note in notes:
        if not isinstance(note, Mapping):
            raise UnreadableError("a note that is no object", "note_id, annotations and text")
        yield {"hadm_id": value.get("hadm_id"), **note}


def _fields(note: Mapping[str, object]) -> dict[str, object]:
    if not isinstance(note.get("text"), str):
        raise UnreadableError(
            "a note of MDACE without its text",
            "the TEXT of MIMIC-III's NOTEEVENTS whose ROW_ID is note_id, put into the note as "
            "'text'",
        )
    annotations = note.get("annotations")
    if not isinstance(annotations, list) or not all(isinstance(a, Mapping) for a in annotations):
        raise UnreadableError("annotations that are no list of objects", "begin, end and code")
    if not all(isinstance(a.get("code"), str) for a in annotations):
        raise UnreadableError("evidence without a code", "a code in every annotation")
    spans = [
        {
            "start": a.get("begin"),
            "end": a.get("end"),
            "label": a.get("code_system"),
            "text": a.get("covered_text"),
            "concepts": [a["code"]],
        }
        for a in annotations
    ]
    codes = list(dict.fromkeys(a["code"] for a in annotations))
    return {"note_id": note.get("note_id"), "text": note["text"], "spans": spans, "codes": codes}


def _looks(sight: Sight) -> bool:
    start = sight.text[:2_000]
    return (
        re.match(r"\s*\{\s*\"hadm_id\"", start) is not None
        and re.search(r"\"notes\"\s*:\s*\[\s*\{\s*\"note_id\"", start) is not None
    )


MDACE = Format("mdace", "MDACE's evidence for codes", read_mdace, looks=_looks)
