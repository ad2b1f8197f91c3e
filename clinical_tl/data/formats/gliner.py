"""GLiNER's training data (https://github.com/urchade/GLiNER): `tokenized_text` and `ner`.

`ner` is a list of `[first token, last token, label]`, the last token being of the mention.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from clinical_tl.data.formats.columns import Layout
from clinical_tl.data.formats.files import File
from clinical_tl.data.formats.format import Format
from clinical_tl.data.formats.json_records import read_json_records
from clinical_tl.data.formats.problems import Faults, UnreadableError
from clinical_tl.data.formats.token_line import token_line
from clinical_tl.schema import Note


def read_gliner(file: File, faults: Faults, *, layout: Layout) -> Iterator[Note]:
    """Yields a note for every record, its text rebuilt of the tokens; without ids, numbered.

    A record without `ner` is not annotated.
    """
    own = ("tokenized_text", "ner")
    yield from read_json_records(file, faults, layout, _fields, own=own, are_numbered=True)


def _fields(record: Mapping[str, object]) -> dict[str, object]:
    given = record.get("tokenized_text")
    tokens = [t for t in given if isinstance(t, str)] if isinstance(given, list) else []
    if not tokens or not isinstance(given, list) or len(tokens) < len(given):
        raise UnreadableError("tokenized_text that is no list of words", "a list of words")
    text, starts = token_line(tokens)
    ner = record.get("ner")
    spans: list[object] | None = None
    if ner is not None:
        spans = []
        for mention in ner if isinstance(ner, list) else [None]:
            if not isinstance(mention, list) or list(map(type, mention)) != [int, int, str]:
                raise UnreadableError("ner that is no list of mentions", "[first, last, label]")
            first, last, label = mention
            if not 0 <= first <= last < len(tokens):
                raise UnreadableError(
                    f"tokens {first}–{last} of {len(tokens)}", "0 <= first <= last < their number"
                )
            end = starts[last] + len(tokens[last])
            spans.append({"start": starts[first], "end": end, "label": label})
    return {"text": text, "spans": spans}


GLINER = Format(
    "gliner",
    "GLiNER's training data",
    read_gliner,
    looks=lambda sight: isinstance(sight.record.get("tokenized_text"), list),
)
