"""Prodigy's annotations (https://prodi.gy, `db-out`): JSONL.

A task has `text`, `tokens`, what was annotated (`spans`, `relations` between tokens, a `label`, or
the options in `accept`) and the annotator's `answer`: accept, reject or ignore. Offsets are
characters; `token_end` is the last token, not the one after it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

from clinical_tl.data.formats.categories import (
    Categories,
    categories_kind,
    category_fields,
    category_names,
)
from clinical_tl.data.formats.columns import Layout
from clinical_tl.data.formats.files import File
from clinical_tl.data.formats.format import Format
from clinical_tl.data.formats.json_records import json_values, read_json_records, values
from clinical_tl.data.formats.left_out import Losses
from clinical_tl.data.formats.problems import Faults, UnreadableError
from clinical_tl.data.formats.sight import Sight
from clinical_tl.data.formats.written_json import check_note, json_line
from clinical_tl.data.notes import span_to_row
from clinical_tl.schema import Note, Span
from clinical_tl.text.scripts import Bounds
from clinical_tl.text.words import word_bounds

_ANSWERS = ("accept", "reject", "ignore")
_OWN = (
    *("text", "tokens", "spans", "relations", "label", "accept", "options", "answer", "config"),
    *("_input_hash", "_task_hash", "_view_id", "_session_id", "_annotator_id", "_timestamp"),
)


@dataclass(frozen=True)
class _Project:
    """What all tasks of a file together tell.

    Attributes:
        categories: whether categories are the label or the codes.
        is_binary: whether one and the same label was accepted of some texts, rejected of others.
    """

    categories: Categories
    is_binary: bool


def read_prodigy(
    file: File, faults: Faults, *, layout: Layout, cats: Categories | None = None
) -> Iterator[Note]:
    """Yields a note for every task that was accepted, or not answered yet.

    Rejected and ignored ones are passed over, and counted. If all of a file's tasks ask for one
    `label`, the texts of rejected ones are such without that code. Notes are numbered unless a
    task, or its `meta`, has a `note_id`; `columns={"note_id": "meta.id"}` names another.

    Args:
        file: the annotations.
        faults: where what is wrong goes.
        layout: which key holds what else there is; `metadata_columns=["meta"]` keeps `meta`.
        cats: whether categories are the `label` or the `codes`; by default codes where a task
            has several or may have (`choice_style`), or where one label was accepted and rejected.

    Raises:
        ConfigError: unknown `cats`.
    """
    most, labels, rejected = 0, set[str](), 0
    for task in values(json_values(file, Faults(file.name))):
        if isinstance(task, Mapping):
            names = _categories(task) or []
            most = max(most, len(names), 2 * _is_multiple(task))
            labels.update(names)
            rejected += bool(names) and task.get("answer") == "reject"
    is_binary = len(labels) == 1 and rejected > 0 and cats in (None, "codes")
    kind = categories_kind(cats, 2 if is_binary else most, file.name)
    yield from read_json_records(
        file,
        faults,
        layout,
        partial(_fields, project=_Project(kind, is_binary), faults=faults),
        own=_OWN,
        are_numbered=True,
    )


def _fields(
    task: Mapping[str, object], project: _Project, faults: Faults
) -> dict[str, object] | None:
    answer = task.get("answer", "accept")
    if answer not in _ANSWERS:
        raise UnreadableError("an answer of another kind", f"one of {list(_ANSWERS)}, or none")
    names = _categories(task)
    if "accept" in task and category_names(task["accept"]) is None:
        raise UnreadableError("accept that is no list of options", "the options' ids")
    is_without = answer == "reject" and project.is_binary and names is not None
    if answer != "accept" and not is_without:
        faults.passed_over[f"tasks with the answer {answer!r}"] += 1
        return None
    if task.get("_view_id") == "ner":
        faults.doubtful["tasks of one mention each (view 'ner'), beside which others may be"] += 1
    meta = task.get("meta")
    own = meta if isinstance(meta, Mapping) else {}
    fields = category_fields([] if is_without else names, project.categories)
    if "label" in task and "accept" in task:
        # Choices beside a label are no second label.
        fields = {"label": task["label"], "codes": category_names(task["accept"])}
    spans = _spans(task)
    return {
        "label": None,
        "note_id": task.get("note_id", own.get("note_id")),
        "patient_id": task.get("patient_id", own.get("patient_id")),
        "text": task.get("text"),
        "spans": spans,
        "relations": _relations(task, spans or []),
        **fields,
    }


def _categories(task: Mapping[str, object]) -> list[str] | None:
    """What a task says of its whole text; `None` if nothing."""
    label = task.get("label")
    if isinstance(label, str):
        return [label]
    return category_names(task.get("accept"))


def _is_multiple(task: Mapping[str, object]) -> bool:
    config = task.get("config")
    is_choice = "accept" in task and "label" not in task
    return is_choice and isinstance(config, Mapping) and config.get("choice_style") == "multiple"


def _objects(task: Mapping[str, object], name: str) -> list[Mapping[str, object]]:
    value = task.get(name)
    if isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
        return value
    raise UnreadableError(f"{name} that are no list of objects", "Prodigy's JSONL")


def _spans(task: Mapping[str, object]) -> list[dict[str, object]] | None:
    if task.get("spans") is None:
        return None
    tokens = {str(t.get("id")): t for t in _objects(task, "tokens")} if task.get("tokens") else {}
    are_linked = bool(task.get("relations"))
    spans = []
    for number, span in enumerate(_objects(task, "spans"), 1):
        first = tokens.get(str(span.get("token_start")), {})
        last = tokens.get(str(span.get("token_end")), {})
        concept = span.get("kb_id")
        own = {
            "start": span.get("start", first.get("start")),
            "end": span.get("end", last.get("end")),
            "id": span.get("id", f"T{number}" if are_linked else None),
            "concepts": span.get("concepts", [concept] if concept else None),
        }
        spans.append({**span, **own})
    return spans


def _relations(
    task: Mapping[str, object], spans: Sequence[Mapping[str, object]]
) -> list[dict[str, object]] | None:
    if task.get("relations") is None:
        return None
    return [
        {
            "head": _end(relation, "head", spans),
            "tail": _end(relation, "child", spans),
            "label": relation.get("label"),
        }
        for relation in _objects(task, "relations")
    ]


def _end(
    relation: Mapping[str, object], name: str, spans: Sequence[Mapping[str, object]]
) -> object:
    """The id of the mention at one end of a relation: the one named, else the one at the token."""
    given, token = relation.get(f"{name}_span"), relation.get(name)
    if isinstance(given, Mapping):
        keys = [key for key in ("id", "start", "end", "label") if given.get(key) is not None]
        for span in spans:
            if all(span.get(key) == given[key] for key in keys):
                return span["id"]
    for span in spans:
        first, last = span.get("token_start"), span.get("token_end")
        if not (isinstance(token, int) and isinstance(first, int) and isinstance(last, int)):
            continue
        if first <= token <= last:
            return span["id"]
    raise UnreadableError(
        "a relation with an end that is no mention", "relations between labelled spans"
    )


def write_prodigy(notes: Iterable[Note], path: Path, losses: Losses) -> None:
    """Writes tasks that Prodigy takes as its own annotations (`db-in`), or to correct them.

    Tokens are words and single other characters (`text.words`), cut where a mention begins or
    ends inside one. `label` is the note's label, `accept` its codes. What Prodigy has no place for
    (ids, concepts, attributes, scores, pieces) stands beside, where Prodigy leaves it.
    Relations between concepts count as lost, and labels without codes in a file where a note has
    codes and no label, which makes all categories codes. Notes with nothing annotated have no
    `answer`.

    Raises:
        NoteError: a note that JSON can't hold.
    """
    labels = codes = 0
    with path.open("wb") as stream:
        for note in losses.counted(notes):
            check_note(note, losses)
            stream.write(json_line(note, _task(note, losses)))
            labels += note.label is not None and note.codes is None
            codes += note.label is None and note.codes is not None
    losses.add("labels where other notes have codes alone", labels if codes else 0)


def _task(note: Note, losses: Losses) -> dict[str, object]:
    tokens = _tokens(note)
    starts = [start for start, _ in tokens]
    task: dict[str, object] = {
        "text": note.text,
        "note_id": note.note_id,
        "meta": {"note_id": note.note_id},
        "tokens": [
            {
                "text": note.text[start:end],
                "start": start,
                "end": end,
                "id": i,
                "ws": note.text[end : end + 1] == " ",
            }
            for i, (start, end) in enumerate(tokens)
        ],
    }
    if note.patient_id is not None:
        task["patient_id"] = note.patient_id
    if note.metadata:
        task["metadata"] = dict(note.metadata)
    if note.label is not None:
        task["label"] = note.label
    if note.codes is not None:
        task["accept"] = list(note.codes)
        task["options"] = [{"id": code, "text": code} for code in dict.fromkeys(note.codes)]
        task["config"] = {"choice_style": "multiple"}
    if note.spans is not None:
        task["spans"] = [_span(span, starts) for span in note.spans]
    if note.relations is not None:
        task["relations"] = _links(note, starts, losses)
    annotated = (note.label, note.codes, note.spans, note.relations)
    return task if annotated == (None,) * 4 else {**task, "answer": "accept"}


def _tokens(note: Note) -> Bounds:
    edges = sorted({edge for span in note.spans or () for edge in (span.start, span.end)})
    tokens: Bounds = []
    for start, end in word_bounds(note.text):
        inside = edges[bisect_right(edges, start) : bisect_left(edges, end)]
        tokens += pairwise([start, *inside, end])
    return tokens


def _span(span: Span, starts: Sequence[int]) -> dict[str, object]:
    row = {
        **span_to_row(span),
        "token_start": max(bisect_right(starts, span.start) - 1, 0),
        "token_end": max(bisect_left(starts, span.end) - 1, 0),
    }
    return {key: value for key, value in row.items() if value not in ("", [], None)}


def _links(note: Note, starts: Sequence[int], losses: Losses) -> list[dict[str, object]]:
    spans = {s.id: _span(s, starts) for s in note.spans or () if s.id}
    links = []
    for relation in note.relations or ():
        if {relation.head, relation.tail} <= spans.keys():
            head, child = spans[relation.head], spans[relation.tail]
            links.append(
                {
                    "head": head["token_end"],
                    "child": child["token_end"],
                    "head_span": head,
                    "child_span": child,
                    "label": relation.label,
                }
            )
        else:
            losses.add("relations")
    return links


def _looks(sight: Sight) -> bool:
    record = sight.record
    if not isinstance(record.get("text"), str):
        return False
    tokens = record.get("tokens")
    are_tokens = isinstance(tokens, list) and all(
        isinstance(token, Mapping) and {"text", "start", "end", "id"} <= token.keys()
        for token in tokens
    )
    is_answered = record.get("answer") in _ANSWERS
    return "_task_hash" in record or is_answered or (are_tokens and tokens != [])


PRODIGY = Format("prodigy", "Prodigy's JSONL", read_prodigy, write_prodigy, looks=_looks)
