"""MedCATtrainer's export (https://github.com/CogStack/MedCATtrainer), the one with text.

Projects have documents, these annotations: a stretch of the text, a concept (`cui`) and what the
annotator said of it. `deleted` ones are no mentions of the concept, `killed` ones were ended with
all of that form, `irrelevant` ones are not to be learned from; not `validated` ones nobody saw.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial

from clinical_tl.data.formats.columns import Layout
from clinical_tl.data.formats.files import File
from clinical_tl.data.formats.format import Format
from clinical_tl.data.formats.json_records import read_json_records
from clinical_tl.data.formats.problems import Faults, UnreadableError
from clinical_tl.data.formats.sight import Sight
from clinical_tl.schema import Note

LABEL = "Concept"

_OWN = ("id", "text", "annotations", "relations")
_NOT_HELD = ("deleted", "killed", "irrelevant")


def read_medcat(file: File, faults: Faults, *, layout: Layout) -> Iterator[Note]:
    """Yields a note for every document of every project.

    Mentions have the label `Concept`, their `cui` as concept and their meta-annotations as
    attributes. Annotations that an annotator took back, or that nobody validated, are counted.
    The id is the document's; `columns={"note_id": "name"}` takes its name.
    """
    fields = partial(_fields, faults=faults)
    yield from read_json_records(file, faults, layout, fields, expand=_documents, own=_OWN)


def _documents(value: object) -> Iterator[Mapping[str, object]]:
    projects = value.get("projects") if isinstance(value, Mapping) else None
    if not isinstance(projects, list):
        raise UnreadableError("no list of projects", "MedCATtrainer's export with text")
    for project in _objects(projects, "projects"):
        for document in _objects(project.get("documents"), "documents"):
            yield {"project": project.get("name"), **document}


def _objects(value: object, name: str) -> list[Mapping[str, object]]:
    items = [] if value is None else value
    if isinstance(items, list) and all(isinstance(item, Mapping) for item in items):
        return items
    raise UnreadableError(f"{name} that are no list of objects", "MedCATtrainer's export with text")


def _fields(document: Mapping[str, object], faults: Faults) -> dict[str, object]:
    if not isinstance(document.get("text"), str):
        raise UnreadableError("a document without its text", "the export with text")
    spans, kept = [], set[str]()
    for annotation in _objects(document.get("annotations"), "annotations"):
        taken = next((name for name in _NOT_HELD if annotation.get(name)), None)
        if taken is None and annotation.get("validated") is False:
            taken = "not validated"
        if taken is not None:
            faults.passed_over[f"annotations that are {taken}"] += 1
            continue
        kept.add(str(annotation.get("id")))
        spans.append(
            {
                "start": annotation.get("start"),
                "end": annotation.get("end"),
                "label": LABEL,
                "text": annotation.get("value"),
                "id": annotation.get("id"),
                "concepts": [annotation.get("cui")],
                "attributes": [
                    {"name": meta.get("name"), "value": meta.get("value")}
                    for meta in _meta(annotation.get("meta_anns"))
                ],
            }
        )
    links = _objects(document.get("relations"), "relations")
    ends = ("start_entity", "end_entity")
    held = [link for link in links if {str(link.get(end)) for end in ends} <= kept]
    if len(held) < len(links):
        faults.passed_over["relations of annotations that are no mentions"] += len(links) - len(
            held
        )
    relations = [
        {"head": r.get("start_entity"), "tail": r.get("end_entity"), "label": r.get("relation")}
        for r in held
    ]
    return {
        "note_id": document.get("id"),
        "text": document["text"],
        "spans": spans,
        "relations": relations if "relations" in document else None,
    }


def _meta(value: object) -> list[Mapping[str, object]]:
    # Older exports have a list, newer ones an object of objects by name.
    return _objects(list(value.values()) if isinstance(value, Mapping) else value, "meta_anns")


def _looks(sight: Sight) -> bool:
    return (
        re.match(r"\s*\{\s*\"projects\"\s*:\s*\[", sight.text) is not None
        and '"documents"' in sight.text
    )


MEDCAT = Format("medcat", "MedCATtrainer's export", read_medcat, looks=_looks)
