"""spaCy's training data before version 3: tuples of text and annotations, and its training JSON.

Tuples are `[text, {"entities": [[start, end, label], …], "cats": {label: 1.0, …}}]`. The training
JSON has documents of paragraphs, these `raw` text and `sentences` of tokens with BILUO tags.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from clinical_tl.data.formats.categories import Categories, categories_kind, category_fields
from clinical_tl.data.formats.columns import Layout
from clinical_tl.data.formats.files import File
from clinical_tl.data.formats.format import Format
from clinical_tl.data.formats.json_records import json_values, read_json_records, values
from clinical_tl.data.formats.json_values import parse_json
from clinical_tl.data.formats.nesting import renamed
from clinical_tl.data.formats.problems import Faults, UnreadableError
from clinical_tl.data.formats.sight import Sight
from clinical_tl.data.formats.tag_schemes import Tagging
from clinical_tl.data.formats.token_line import token_line
from clinical_tl.data.formats.token_tags import mention_runs
from clinical_tl.schema import Note

APPLIES = 0.5

_DOCUMENTS = re.compile(r"\s*\[\s*\{[^{}\[\]]*\"paragraphs\"\s*:\s*\[")
_OWN = ("text", "entities", "cats", "raw", "sentences", "id")


def read_spacy_json(
    file: File, faults: Faults, *, layout: Layout, cats: Categories | None = None
) -> Iterator[Note]:
    """Yields a note for every tuple, or for every paragraph of the training JSON.

    Paragraphs have the document's id, with their number where there are several; tuples are
    numbered. Tokens without a tag (`-`) beside others with one are read as no mention.

    Args:
        file: the training data.
        faults: where what is wrong goes.
        layout: which key holds what else there is.
        cats: whether categories at or above 0.5 are the `label` or the `codes`; by default codes
            where any text has several.

    Raises:
        ConfigError: unknown `cats`.
    """
    most = 0
    for value in values(json_values(file, Faults(file.name))):
        try:
            most = max(most, *(len(_categories(record) or ()) for record in _records(value)), 0)
        except UnreadableError:
            continue
    kind = categories_kind(cats, most, file.name)
    fields = partial(_fields, kind=kind, faults=faults)
    yield from read_json_records(
        file, faults, layout, fields, expand=_records, own=_OWN, are_numbered=True
    )


def _records(value: object) -> list[Mapping[str, object]]:
    if isinstance(value, list) and list(map(type, value)) == [str, dict]:
        return [{**value[1], "text": value[0]}]
    paragraphs = value.get("paragraphs") if isinstance(value, Mapping) else None
    if not isinstance(value, Mapping) or not isinstance(paragraphs, list):
        raise UnreadableError(
            "neither a tuple nor a document of spaCy 2", "[text, {entities: …}], or paragraphs"
        )
    document = value.get("id")
    found: list[Mapping[str, object]] = []
    for number, paragraph in enumerate(paragraphs, 1):
        if not isinstance(paragraph, Mapping):
            raise UnreadableError("a paragraph that is no object", "raw and sentences")
        own = document if len(paragraphs) == 1 or document is None else f"{document}-{number}"
        found.append({**paragraph, "id": own})
    return found


def _categories(record: Mapping[str, object]) -> list[str] | None:
    cats = record.get("cats")
    if isinstance(cats, list):
        pairs = [(c.get("label"), c.get("value")) for c in cats if isinstance(c, Mapping)]
    else:
        pairs = list(cats.items()) if isinstance(cats, Mapping) else []
    applying = [
        str(name) for name, value in pairs if isinstance(value, int | float) and value >= APPLIES
    ]
    return applying if pairs else None


def _fields(
    record: Mapping[str, object], kind: Categories, faults: Faults
) -> dict[str, object] | None:
    text: object
    spans: object
    if "sentences" in record:
        text, spans = _tagged(record, faults)
    else:
        text, given = record.get("text", record.get("raw")), record.get("entities")
        spans = given if given is None else [_entity(e) for e in _list(given, "entities")]
    return {
        "note_id": record.get("note_id", record.get("id")),
        "text": text,
        "spans": spans,
        **category_fields(_categories(record), kind),
    }


def _entity(entity: object) -> object:
    # The fourth is an id in a knowledge base.
    if isinstance(entity, list) and len(entity) == 4:
        return {**_dict(renamed(entity[:3], {})), "concepts": [entity[3]] if entity[3] else []}
    return entity


def _dict(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object, name: str) -> list[object]:
    if isinstance(value, list):
        return value
    raise UnreadableError(f"{name} that are no list", "spaCy's training data")


def _tagged(
    record: Mapping[str, object], faults: Faults
) -> tuple[str, list[dict[str, object]] | None]:
    """Text and mentions of a paragraph with tokens."""
    sentences = [_list(_dict(s).get("tokens"), "tokens") for s in _list(record["sentences"], "s")]
    tokens = [_dict(token) for sentence in sentences for token in sentence]
    words = [str(token.get("orth", "")) for token in tokens]
    raw = record.get("raw")
    if isinstance(raw, str):
        text, starts = raw, _places(words, raw)
    else:
        lines, starts, offset = [], [], 0
        for sentence in sentences:
            own = [str(_dict(token).get("orth", "")) for token in sentence]
            line, places = token_line(own, offset)
            lines.append(line)
            starts += places
            offset += len(line) + 1
        text = "\n".join(lines)
    tags = [token.get("ner", "-") for token in tokens]
    known = [str(tag) if tag not in ("-", None, "") else "O" for tag in tags]
    missing = sum(tag in ("-", None, "") for tag in tags)
    if missing == len(tags):
        return text, None
    if missing:
        faults.doubtful["tokens without a tag beside others with one, read as no mention"] += (
            missing
        )
    return text, [
        {"start": starts[first], "end": starts[end - 1] + len(words[end - 1]), "label": label}
        for first, end, label in mention_runs(known, Tagging("BILOU"))
    ]


def _places(words: Sequence[str], raw: str) -> list[int]:
    starts, at = [], 0
    for word in words:
        start = raw.find(word, at)
        if start < 0 or raw[at:start].strip():
            raise UnreadableError("tokens that do not make up the raw text", "all tokens, in order")
        starts.append(start)
        at = start + len(word)
    return starts


def _looks(sight: Sight) -> bool:
    value = sight.value
    if isinstance(value, str):
        # A tuple a line.
        try:
            value = parse_json(sight.text.lstrip().partition("\n")[0])
        except (json.JSONDecodeError, UnreadableError, ValueError, RecursionError):
            return False
    if isinstance(value, list) and list(map(type, value)) == [str, dict]:
        return bool({"entities", "cats"} & value[1].keys())
    return _DOCUMENTS.match(sight.text) is not None


SPACY_JSON = Format(
    "spacy_json", "spaCy 2's tuples or training JSON", read_spacy_json, looks=_looks
)
