"""Label Studio's exports (https://labelstud.io): JSON, JSON-MIN, CSV and TSV.

A task has its text in `data` and what annotators say in `annotations`, each with a `result`: a
list of regions (`labels`, with offsets and the text between them), of answers about the text
(`choices`, `taxonomy`) or about a region, and of relations between regions. Offsets count
characters; before 2022 they counted units of UTF-16, which the quoted texts tell.
JSON-MIN, CSV and TSV have a flat record for every annotation.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Literal, get_args

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
from clinical_tl.data.formats.json_values import parse_json
from clinical_tl.data.formats.left_out import Losses
from clinical_tl.data.formats.problems import Faults, Place, UnreadableError
from clinical_tl.data.formats.sight import Sight
from clinical_tl.data.formats.tool_tables import header_of, table_values
from clinical_tl.data.formats.written_json import check_note, json_line
from clinical_tl.errors import ConfigError, shown_id, shown_ids, shown_value
from clinical_tl.schema import Note, Span

Layer = Literal["annotations", "predictions"]

_FLAT = frozenset({"annotation_id", "annotator", "lead_time"})
_KEPT = _FLAT | {"id", "created_at", "updated_at", "agreement", "history"}
_OWN = ("id", "data", "annotations", "completions", "predictions", "drafts")
_HTML = ("hypertextlabels", "paragraphlabels")
_IN_PARTS = (
    "mentions in HTML or in a dialogue, whose offsets are those of its parts",
    "texts in <Text> tags",
)
_FLAT_HTML = frozenset((*_HTML, "startOffset", "globalOffsets"))
# Which text a region of sound does not have.
_SOUND = frozenset({"channel", "original_length"})
# Of ICD and SNOMED CT, say: it is the same wherever in a taxonomy it stands.
_CODE = re.compile(r"[A-Z][0-9][0-9A-Z](?:\.?[0-9A-Z]{1,4})?|[0-9]{3,18}(?:\.[0-9]{1,4})?")
_ADDRESS = re.compile(r"(?:[a-z][a-z0-9-]*://|/data/)\S+")
# The writer's names of controls.
_MENTIONS, _LABEL, _CODES, _CONCEPTS = "label", "note_label", "note_codes", "concepts"
# Its ids of regions that have none.
_NO_ID = re.compile(r"unnamed-[0-9]+")


@dataclass(repr=False)
class _Answers:
    """What one annotator says of a text.

    Attributes:
        regions: the results that mark a stretch of the text.
        choices: control → what was chosen for the whole text.
        about: id of a region → control and answer.
        concepts: id of a region → the concepts that the writer gave it.
        relations: the results that link regions.
        told: the fields that this annotation is known to tell, where it says so.
    """

    regions: list[Mapping[str, object]] = field(default_factory=list)
    choices: dict[str, list[str]] = field(default_factory=dict)
    about: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    concepts: dict[str, list[str]] = field(default_factory=dict)
    relations: list[Mapping[str, object]] = field(default_factory=list)
    told: tuple[str, ...] | None = None


@dataclass
class _Project:
    """What all records of a file together tell of the project's controls.

    Attributes:
        layer: which layer is read.
        layout: which key holds the text.
        is_told: whether somebody says what the choices are.
        objects: what the answers are about (`to_name`).
        texts: those among them that are the text, as their name or a quoted mention tells.
        controls: control → how many choices a text has at most.
        has_mentions: whether any text has regions.
        has_relations: whether any text has relations.
        kinds: control → what its choices are.
    """

    layer: Layer
    layout: Layout
    is_told: bool = False
    objects: set[str] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)
    controls: Counter[str] = field(default_factory=Counter)
    has_mentions: bool = False
    has_relations: bool = False
    kinds: dict[str, Categories] = field(default_factory=dict)

    def is_about_text(self, item: Mapping[str, object], record: Mapping[str, object]) -> bool:
        """Whether an answer is about the text that is read, not another one, or a picture."""
        about, data = item.get("to_name"), record.get("data")
        if not isinstance(about, str) or not isinstance(data, Mapping):
            return True
        key = _text_key(data, self.layout)
        if key is not None and about in data and about != key:
            return False
        self.objects.add(about)
        value = item.get("value")
        is_quoting = item.get("type") == "labels" and isinstance(value, Mapping) and "text" in value
        if about == key or is_quoting:
            self.texts.add(about)
        return len(self.objects) == 1 or len(self.texts) != 1 or about in self.texts


def _text_key(data: Mapping[str, object], layout: Layout) -> str | None:
    asked = layout.columns.get("text")
    if asked is not None:
        is_within = isinstance(asked, str) and asked.startswith("data.")
        return str(asked).removeprefix("data.") if is_within else None
    strings = [name for name, value in data.items() if isinstance(value, str)]
    strings = [name for name in strings if name not in ("note_id", "patient_id")]
    return "text" if "text" in strings else strings[0] if len(strings) == 1 else None


def read_label_studio(
    file: File,
    faults: Faults,
    *,
    layout: Layout,
    layer: Layer = "annotations",
    cats: Categories | None = None,
    label_control: str | None = None,
    codes_control: str | None = None,
) -> Iterator[Note]:
    """Yields a note for every task, or for every record of the flat exports.

    Of several annotations of a task the ground truth is read, else the last one; cancelled ones
    are not. Tasks of which all are cancelled are passed over. All that is counted. A task that
    was annotated without a region has no mention if the file has mentions elsewhere. Answers
    about a region are its attributes. Answers about something else than the text, whose
    `to_name` is another key of `data` or another object, are passed over, and counted.

    The text is `data.text`, or the one string in `data`, or where `columns` says
    (`{"text": "data.letter"}`). The id is `data.note_id`, else the task's. Flat exports have an
    annotation a record, the last one of a task first: `duplicates="first"` keeps that.

    Args:
        file: the export.
        faults: where what is wrong goes.
        layout: which key holds what else there is: `{"patient_id": "data.patient"}`.
        layer: whether to read `annotations`, or the last `predictions` of a model.
        cats: whether choices are the `label` or the `codes`; by default codes where any text of
            the file has several.
        label_control: the control (`from_name`) whose choice is the label, where there are several,
            and in flat exports, which do not tell a single choice from other data.
        codes_control: the control whose choices are the codes.

    Raises:
        ConfigError: an unknown layer, or unknown `cats`.
    """
    if layer not in get_args(Layer):
        raise ConfigError(f"layer={shown_value(layer)}; allowed: {list(get_args(Layer))}")
    places = json_values if Sight.of(file).is_json else table_values
    named: dict[str, Categories] = {}
    if label_control is not None:
        named[label_control] = "label"
    if codes_control is not None:
        named[codes_control] = "codes"
    project = _Project(layer, layout, is_told=bool(named) or cats == "ignore", kinds=named)
    _survey(values(places(file, Faults(file.name))), project)
    if len(project.objects) > 1:
        if len(project.texts) != 1:
            faults.refuse(
                Place(file.name),
                f"answers about {len(project.objects)} objects, "
                f"{shown_ids(sorted(project.objects), 'object')}, of which one is the text",
                "objects that are named as their keys in data (name='text' value='$text')",
            )
            return
        # What the others have is known only now.
        project.controls.clear()
        project.has_mentions = project.has_relations = False
        _survey(values(places(file, Faults(file.name))), project)
    controls = sorted(project.controls)
    if not named and set(controls) <= {_LABEL, _CODES}:
        project.kinds = {_LABEL: "label", _CODES: "codes"}
    elif not named and len(controls) == 1:
        most = project.controls[controls[0]]
        project.kinds = {controls[0]: categories_kind(cats, most, file.name)}
    elif not named and cats != "ignore":
        faults.refuse(
            Place(file.name),
            f"choices of {len(controls)} controls, {shown_ids(controls, 'control')}",
            "label_control=… or codes_control=…, one of them; or cats='ignore'",
        )
        return
    yield from read_json_records(
        file,
        faults,
        layout,
        partial(_fields, project=project, layout=layout, faults=faults),
        places=places(file, faults),
        own=_OWN,
        are_numbered=True,
    )


def _survey(records: Iterator[object], project: _Project) -> None:
    """Notes what controls the records of a file have answers of."""
    for record in records:
        if not isinstance(record, Mapping):
            continue
        try:
            answers = _answered(record, project, Faults(""))
        except UnreadableError:
            continue
        if answers is not None:
            project.has_mentions |= bool(answers.regions)
            project.has_relations |= bool(answers.relations)
            for control, names in answers.choices.items():
                project.controls[control] = max(project.controls[control], len(names))


def _fields(
    record: Mapping[str, object], project: _Project, layout: Layout, faults: Faults
) -> dict[str, object] | None:
    passed = faults.passed_over.total()
    answers = _answered(record, project, faults)
    if answers is None and faults.passed_over.total() > passed:
        return None
    data = record.get("data", record)
    if not isinstance(data, Mapping):
        raise UnreadableError("a task without data", "tasks as Label Studio exports them")
    metadata = data.get("metadata")
    fields: dict[str, object] = {
        "note_id": data.get("note_id", record.get("id")),
        "patient_id": data.get("patient_id"),
        "metadata": metadata if isinstance(metadata, Mapping) and data is not record else None,
        "text": None if "text" in layout.columns else _text(data, project, is_flat=data is record),
        **dict.fromkeys(("label", "codes", "spans", "relations")),
    }
    if answers is None:
        return fields
    if answers.regions or _is_told("spans", answers, is_known=project.has_mentions):
        text = layout.value(record, "text") if "text" in layout.columns else fields["text"]
        fields["spans"] = [span for r in answers.regions for span in _spans(r, answers, text)]
    if answers.relations or _is_told("relations", answers, is_known=project.has_relations):
        fields["relations"] = [link for r in answers.relations for link in _links(r)]
    for control, kind in project.kinds.items():
        names = answers.choices.get(control)
        if names is None and kind == "codes":
            is_told = _is_told("codes", answers, is_known=control in project.controls)
            names = [] if is_told else None
        fields |= category_fields(names, kind)
    return fields


def _is_told(name: str, answers: _Answers, *, is_known: bool) -> bool:
    return is_known if answers.told is None else name in answers.told


def _answered(record: Mapping[str, object], project: _Project, faults: Faults) -> _Answers | None:
    """What is said of the text; `None` where nobody said anything."""
    if "data" not in record:
        return _flat_answers(record, project, faults)
    predictions = _objects(record.get("predictions"), "predictions")
    given = predictions
    if project.layer == "annotations":
        given = _objects(record.get("annotations", record.get("completions")), "annotations")
        if predictions and not given:
            faults.doubtful[
                "tasks with predictions alone, which are not read (layer='predictions' does)"
            ] += 1
    done = [one for one in given if not (one.get("was_cancelled") or one.get("skipped"))]
    if not done:
        if given:
            faults.passed_over["tasks that annotators skipped"] += 1
        return None
    if len(done) > 1:
        what = f"{project.layer} beside the one of a task that is read"
        faults.passed_over[f"{what} (the ground truth, else the last)"] += len(done) - 1
    chosen = max(enumerate(done), key=_rank)[1]
    result = _objects(chosen.get("result"), "result")
    answers = _answers(result, faults, partial(project.is_about_text, record=record))
    told = category_names(chosen.get("annotated"))
    answers.told = None if told is None else tuple(told)
    return answers


def _rank(numbered: tuple[int, Mapping[str, object]]) -> tuple[bool, str, int]:
    number, one = numbered
    return bool(one.get("ground_truth")), str(one.get("created_at") or ""), number


def _objects(value: object, name: str) -> list[Mapping[str, object]]:
    items = [] if value is None else value
    if isinstance(items, list) and all(isinstance(item, Mapping) for item in items):
        return items
    raise UnreadableError(f"{name} that are no list of objects", "Label Studio's JSON export")


def _answers(
    result: list[Mapping[str, object]],
    faults: Faults,
    is_about_text: Callable[[Mapping[str, object]], bool],
) -> _Answers:
    answers = _Answers()
    elsewhere: set[str] = set()
    for item in result:
        kind, value = item.get("type"), item.get("value")
        content = value if isinstance(value, Mapping) else {}
        given = item.get("from_name")
        control = given if isinstance(given, str) else ""
        names = _chosen(content)
        if kind == "relation":
            answers.relations.append(item)
        elif not is_about_text(item) or _is_sound(item, content):
            about = shown_id(item.get("to_name"), "object")
            faults.passed_over[f"answers about {about!r}, which is not the text"] += 1
            elsewhere.add(str(item.get("id")))
        elif kind in _HTML or isinstance(content.get("start"), str):
            raise UnreadableError(*_IN_PARTS)
        elif kind == "labels" and "start" in content:
            answers.regions.append(item)
        elif names is not None and kind == "textarea" and control == _CONCEPTS:
            answers.concepts.setdefault(str(item.get("id")), []).extend(names)
        elif names is not None and "start" in content:
            answers.about.setdefault(str(item.get("id")), []).extend((control, n) for n in names)
        elif names is not None and kind in ("choices", "taxonomy"):
            answers.choices.setdefault(control, []).extend(names)
        else:
            faults.passed_over[f"answers of type {shown_id(kind, 'type')!r}"] += 1
    if elsewhere:
        own = {str(item.get("id")) for item in answers.regions}
        ends = elsewhere - own
        kept = [r for r in answers.relations if ends.isdisjoint(_ends(r))]
        if len(kept) < len(answers.relations):
            what = "relations of what is not in the text"
            faults.passed_over[what] += len(answers.relations) - len(kept)
        answers.relations = kept
    return answers


def _ends(relation: Mapping[str, object]) -> tuple[str, str]:
    return str(relation.get("from_id")), str(relation.get("to_id"))


def _is_sound(item: Mapping[str, object], content: Mapping[str, object]) -> bool:
    """Whether a region is one of a recording, in seconds."""
    if "text" in content or "start" not in content:
        return False
    are_parts = any(isinstance(content.get(name), float) for name in ("start", "end"))
    return are_parts or not _SOUND.isdisjoint((*item, *content))


def _chosen(content: Mapping[str, object]) -> list[str] | None:
    """What was chosen; of a taxonomy the codes, or the whole paths: `Other` is below many."""
    paths = content.get("taxonomy")
    if isinstance(paths, list):
        names = [[str(name) for name in path] for path in paths if isinstance(path, list) and path]
        return [path[-1] if _CODE.fullmatch(path[-1]) else "/".join(path) for path in names]
    return category_names(content.get("choices", content.get("text")))


def _flat_answers(record: Mapping[str, object], project: _Project, faults: Faults) -> _Answers:
    answers = _Answers()
    for control, cell in record.items():
        value = _unpacked(cell)
        items = value if isinstance(value, list) else [value]
        for item in items:
            if not isinstance(item, Mapping):
                is_choice = control in project.kinds or control in project.controls
                if is_choice and isinstance(item, str) and item:
                    answers.choices.setdefault(control, []).append(item)
            elif not _FLAT_HTML.isdisjoint(item) or isinstance(item.get("start"), str):
                raise UnreadableError(*_IN_PARTS)
            elif _is_sound({}, item):
                what = f"answers about {shown_id(control, 'control')!r}, which is not the text"
                faults.passed_over[what] += 1
            elif "start" in item and "labels" in item:
                answers.regions.append({"value": item})
            elif "choices" in item or "taxonomy" in item:
                answers.choices.setdefault(control, []).extend(_chosen(item) or [])
            elif control not in _KEPT and not _is_used(control, project.layout):
                faults.passed_over[f"answers of {shown_id(control, 'control')!r}"] += 1
    _doubt_words(record, project, faults)
    return answers


def _doubt_words(record: Mapping[str, object], project: _Project, faults: Faults) -> None:
    """Says what may be a single choice: a flat export has it as a word, like other data."""
    if project.is_told:
        return
    known = {"note_id", "patient_id", *_KEPT, *project.controls, *project.kinds}
    known.add(_text_key({k: v for k, v in record.items() if k not in known}, project.layout) or "")
    for name, value in record.items():
        is_word = isinstance(value, str) and value != "" and _unpacked(value) is value
        if is_word and name not in known and not _is_used(name, project.layout):
            faults.doubtful[
                f"records with a word as {shown_id(name, 'key')!r}, not read (if it is a choice: "
                "label_control=… or codes_control=…; cats='ignore' if not)"
            ] += 1


def _is_used(name: str, layout: Layout) -> bool:
    kept = layout.metadata_columns
    return kept == "rest" or name in kept or name in layout.columns.values()


def _unpacked(cell: object) -> object:
    # Cells of CSV and TSV hold lists and objects as JSON.
    if isinstance(cell, str) and cell[:1] in ("[", "{"):
        try:
            return parse_json(cell)
        except (json.JSONDecodeError, RecursionError):
            return cell
    return cell


def _text(data: Mapping[str, object], project: _Project, *, is_flat: bool) -> object:
    if isinstance(data.get("text"), str):
        text = data["text"]
    else:
        left_out = {"note_id", "patient_id"} | set(project.kinds) | set(project.controls)
        left_out |= _KEPT if is_flat else frozenset()
        texts = {
            key: value
            for key, value in data.items()
            if key not in left_out and isinstance(value, str) and _unpacked(value) is value
        }
        if len(texts) != 1:
            prefix = "" if is_flat else "data."
            raise UnreadableError(
                f"no 'text', and {len(texts)} other strings, {shown_ids(texts, 'key')}",
                f"the one that is the text: columns={{'text': '{prefix}<key>'}}",
            )
        text = next(iter(texts.values()))
    if isinstance(text, str) and _ADDRESS.fullmatch(text):
        raise UnreadableError("an address in place of the text", "the text itself in the task")
    return text


def _spans(
    region: Mapping[str, object], answers: _Answers, text: object
) -> Iterator[dict[str, object]]:
    """The mentions of a region: one for each of its labels."""
    content, region_id = region.get("value"), region.get("id")
    value = content if isinstance(content, Mapping) else {}
    quoted = value.get("text")
    if isinstance(quoted, str) and isinstance(text, str) and quoted not in text:
        quoted = quoted.replace("\\n", "\n")
    about = answers.about.get(str(region_id), []) if region_id is not None else []
    concepts = answers.concepts.get(str(region_id), [])
    linked = {end for r in answers.relations for end in _ends(r)}
    if isinstance(region_id, str) and _NO_ID.fullmatch(region_id) and region_id not in linked:
        region_id = None
    for number, label in enumerate(category_names(value.get("labels")) or [""], 1):
        own = None if region_id is None else f"{region_id}{f'#{number}' if number > 1 else ''}"
        yield {
            "start": value.get("start"),
            "end": value.get("end"),
            "label": label,
            "text": quoted,
            "id": own,
            "score": region.get("score", value.get("score")),
            "concepts": concepts,
            "attributes": [{"name": control, "value": answer} for control, answer in about],
        }


def _links(relation: Mapping[str, object]) -> Iterator[dict[str, object]]:
    """The relations of a result: one for each label and direction."""
    ends = (relation.get("from_id"), relation.get("to_id"))
    turned = {"left": [ends[::-1]], "bi": [ends, ends[::-1]]}
    for head, tail in turned.get(str(relation.get("direction")), [ends]):
        for label in category_names(relation.get("labels")) or ["relation"]:
            yield {"head": head, "tail": tail, "label": label}


def write_label_studio(notes: Iterable[Note], path: Path, losses: Losses) -> None:
    """Writes a JSON list of tasks that Label Studio imports.

    Mentions are `labels` of the control `label` on the object `text`; the label and the codes of
    a note are `choices` of the controls `note_label` and `note_codes`; attributes are choices
    about a region, concepts its text area `concepts`. A note with a scored mention becomes a task
    with `predictions`. `note_id`, `patient_id` and `metadata` stand in `data`. Discontinuous
    mentions and relations between concepts count as lost.

    Raises:
        NoteError: a note that JSON can't hold.
    """
    with path.open("wb") as stream:
        start = b"["
        for note in losses.counted(notes):
            check_note(note, losses)
            stream.write(start + json_line(note, _task(note, losses)))
            start = b","
        stream.write(b"]\n" if start == b"," else b"[]\n")


def _task(note: Note, losses: Losses) -> dict[str, object]:
    data: dict[str, object] = {"text": note.text, "note_id": note.note_id}
    if note.patient_id is not None:
        data["patient_id"] = note.patient_id
    if note.metadata:
        data["metadata"] = dict(note.metadata)
    fields = ("label", "codes", "spans", "relations")
    told = [name for name in fields if getattr(note, name) is not None]
    done = {"result": _result(note, losses), "annotated": told}
    if any(span.score is not None for span in note.spans or ()):
        return {"data": data, "annotations": [], "predictions": [done]}
    return {"data": data, "annotations": [{**done, "was_cancelled": False}] if told else []}


def _result(note: Note, losses: Losses) -> list[dict[str, object]]:
    result: list[dict[str, object]] = []
    chosen = {_LABEL: None if note.label is None else [note.label], _CODES: note.codes}
    for control, names in chosen.items():
        if names:
            value = {"choices": list(names)}
            result.append(_item(control, "choices", value, id=control))
    kept = [span for span in note.spans or () if not span.is_discontinuous]
    losses.add("discontinuous mentions", len(note.spans or ()) - len(kept))
    ids = {span.id for span in kept if span.id}
    free = (f"unnamed-{number}" for number in count(1) if f"unnamed-{number}" not in ids)
    for span in kept:
        result += _region(span, span.id or next(free), note.text)
    linked = [{r.head, r.tail} for r in note.relations or () if {r.head, r.tail} <= ids]
    unlinked = ids.difference(*linked)
    losses.add("mention ids", sum(_NO_ID.fullmatch(own) is not None for own in unlinked))
    for relation in note.relations or ():
        if {relation.head, relation.tail} <= ids:
            result.append(
                {
                    "from_id": relation.head,
                    "to_id": relation.tail,
                    "type": "relation",
                    "direction": "right",
                    "labels": [relation.label],
                }
            )
        else:
            losses.add("relations")
    return result


def _region(span: Span, region_id: str, text: str) -> Iterator[dict[str, object]]:
    place = {"start": span.start, "end": span.end}
    said = {**place, "text": text[span.start : span.end]}
    score = {} if span.score is None else {"score": span.score}
    yield _item(_MENTIONS, "labels", {**said, "labels": [span.label]}, id=region_id, **score)
    if span.concepts:
        value = {**place, "text": list(span.concepts)}
        yield _item(_CONCEPTS, "textarea", value, id=region_id)
    for name, answer in span.attributes:
        yield _item(name, "choices", {**said, "choices": [answer]}, id=region_id)


def _item(
    control: str, kind: str, value: Mapping[str, object], **more: object
) -> dict[str, object]:
    return {"from_name": control, "to_name": "text", "type": kind, "value": value, **more}


def _looks(sight: Sight) -> bool:
    record = sight.record
    if not record:
        return header_of(sight) >= _FLAT
    is_task = isinstance(record.get("data"), Mapping) and any(
        isinstance(record.get(name), list) for name in ("annotations", "completions", "predictions")
    )
    return is_task or record.keys() >= _FLAT


LABEL_STUDIO = Format(
    "label_studio",
    "Label Studio's JSON, JSON-MIN, CSV or TSV",
    read_label_studio,
    write_label_studio,
    looks=_looks,
)
