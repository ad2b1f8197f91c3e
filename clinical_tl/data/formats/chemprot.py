"""ChemProt as sentence classification: one JSON object a line, the pair marked in the sentence.

The form in which the corpus (Krallinger et al. 2017, Overview of the BioCreative VI
chemical-protein interaction track) is scored since SciBERT (Beltagy et al. 2019, arXiv
1903.10676, table 1): related pairs alone, each with one of 13 relation types. The sentence
marks the argument that comes first as `<< … >>`, the later one as `[[ … ]]`; which of the two
is the chemical is not told, and neither are pairs without a relation.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from itertools import pairwise

from clinical_tl.data.formats.files import File
from clinical_tl.data.formats.format import Format
from clinical_tl.data.formats.json_values import parse_json
from clinical_tl.data.formats.problems import Faults, Place
from clinical_tl.schema import Note, Relation, Span

SHARED_TASK_GROUPS = {
    "UPREGULATOR": "CPR:3",
    "ACTIVATOR": "CPR:3",
    "INDIRECT-UPREGULATOR": "CPR:3",
    "DOWNREGULATOR": "CPR:4",
    "INHIBITOR": "CPR:4",
    "INDIRECT-DOWNREGULATOR": "CPR:4",
    "AGONIST": "CPR:5",
    "AGONIST-ACTIVATOR": "CPR:5",
    "AGONIST-INHIBITOR": "CPR:5",
    "ANTAGONIST": "CPR:6",
    "SUBSTRATE": "CPR:9",
    "PRODUCT-OF": "CPR:9",
    "SUBSTRATE_PRODUCT-OF": "CPR:9",
}
"""Relation type → the group that the shared task evaluated."""
# Blanks belong to the markers: chemical names themselves hold "[[" and "]]".
MARKERS = {
    "Argument1": ("<< ", " >>"),
    "Argument2": ("[[ ", " ]]"),
}


def read_chemprot(file: File, faults: Faults, *, no_relation: str = "false") -> Iterator[Note]:
    """Yields a note for every line: the sentence without markers, two spans, one relation.

    Notes are numbered by line (`<file>-<line>`): the corpus has no ids, and a sentence has a
    line for each of its pairs. The spans are `T1` (labelled `Argument1`, the head) and `T2`
    (`Argument2`, the tail).

    Args:
        file: the file.
        faults: where what is wrong goes.
        no_relation: the label that some versions of the file give to pairs without a relation;
            their notes are annotated with none.
    """
    for number, line in file.lines():
        if not line.strip():
            continue
        place = Place(file.name, number, f"{file.stem}-{number}")
        yield from faults.reading(partial(_note, line, place, faults, no_relation), place)


def _note(line: str, place: Place, faults: Faults, no_relation: str) -> Note | None:
    try:
        record = parse_json(line)
    except (json.JSONDecodeError, RecursionError):
        faults.add(place, "broken JSON", "one JSON object a line")
        return None
    text, label = (
        (record.get("text"), record.get("label")) if isinstance(record, dict) else (None, None)
    )
    if not isinstance(text, str) or not isinstance(label, str) or not label.strip():
        faults.add(place, "no text or no label", "an object with text and label, both strings")
        return None
    marked = _unmarked(text)
    if marked is None:
        faults.add(
            place,
            "markers that do not mark one pair",
            "one '<< … >>' and one '[[ … ]]', with blanks inside",
        )
        return None
    plain, spans = marked
    relations = () if label == no_relation else (Relation("T1", "T2", label),)
    return Note(place.note_id or "", plain, spans=spans, relations=relations)


def _unmarked(text: str) -> tuple[str, tuple[Span, ...]] | None:
    """The sentence without its markers and the two mentions; `None` unless there are two."""
    cuts: list[tuple[int, int]] = []
    bounds = {}
    for label, (opening, closing) in MARKERS.items():
        start = text.find(opening)
        end = text.find(closing, start + len(opening) + 1)
        # Openings after the last closing mark nothing.
        if start < 0 or end < 0 or text.count(opening, 0, text.rfind(closing) - 1) != 1:
            return None
        bounds[label] = (start + len(opening), end)
        cuts += [(start, start + len(opening)), (end, end + len(closing))]
    cuts.sort()
    if any(cut[1] > later[0] for cut, later in pairwise(cuts)):
        return None

    def moved(position: int) -> int:
        return position - sum(end - start for start, end in cuts if end <= position)

    plain = "".join(
        text[start:end]
        for start, end in zip(
            [0, *(end for _, end in cuts)], [*(start for start, _ in cuts), len(text)], strict=True
        )
    )
    spans = tuple(
        Span(moved(start), moved(end), label, id=f"T{number}")
        for number, (label, (start, end)) in enumerate(bounds.items(), 1)
    )
    return plain, spans


CHEMPROT = Format("chemprot", "ChemProt's marked sentences", read_chemprot)
