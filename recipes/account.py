"""What was read, how it was divided and what it holds, in counts: said before any training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Literal

from clinical_tl.data.contradictions import annotation_of, contradictions
from clinical_tl.data.corpora import Splits
from clinical_tl.data.plausibility import check_plausible
from clinical_tl.display.table import format_table
from clinical_tl.errors import TaskError, shown_id
from clinical_tl.schema import Note

Annotation = Literal["label", "codes", "spans", "relations"]
ANNOTATION: dict[str, Annotation] = {
    "note_classification": "label",
    "multi_label_classification": "codes",
    "diagnosis_coding": "codes",
    "entity_recognition": "spans",
    "relation_extraction": "relations",
}
"""Which field of a note a task learns."""

MOST_LABELS = 10
_NOTHING = {"codes": "no code", "spans": "no mention", "relations": "no relation"}
_EMPTY_CELL = {
    "label": "an empty label cell is read as not annotated",
    "codes": "an empty codes cell is read as no code, not as not annotated",
    "spans": "an empty cell is read as not annotated, [] as no mention",
    "relations": "an empty cell is read as not annotated, [] as no relation",
}


def account(splits: Splits, annotation: Annotation) -> str:
    """Lines for a person: origin, a table of the sides, a table of the labels; never text."""
    return "\n".join(_lines(splits, annotation))


def annotated(splits: Splits, annotation: Annotation) -> Splits:
    """Say what there is (`account`), and leave out the notes that are not annotated, if any.

    Nothing can be learnt from them, and nothing scored on them; how many they are is said.
    """
    print(account(splits, annotation))
    kept = {
        name: notes.filter(lambda note: getattr(note, annotation) is not None)
        for name, notes in splits.items()
    }
    left_out = {name: len(splits[name]) - len(notes) for name, notes in kept.items()}
    for name, notes in kept.items():
        if splits[name] and not notes:
            raise TaskError(
                f"none of the {len(splits[name])} {name} notes is annotated: {annotation} is "
                f"missing in all of them; give other {name} notes, or name what holds it: "
                f"columns={{'{annotation}': '<column>'}}"
            )
    if any(left_out.values()):
        counts = ", ".join(f"{n} of {name}" for name, n in left_out.items() if n)
        print(f"left out, since they are not annotated: {counts}")
    return Splits(kept, splits.origin)


def _lines(splits: Splits, annotation: Annotation) -> Iterator[str]:
    yield f"notes: {splits.origin}"
    rows = [_side(name, notes.records, annotation) for name, notes in splits.items()]
    yield format_table(rows)
    unknown = sum(not note.patient_id for notes in splits.values() for note in notes.records)
    if any(row["patients"] for row in rows) and unknown:
        yield (
            f"{unknown} notes have no patient_id: each counts as another patient's, and no check "
            "can see whether one of them is a patient on another side"
        )
    elif splits.origin.corpus is None and unknown:
        yield (
            "no note has a patient_id: each counts as another patient's, and no check can see one "
            "patient on two sides; where patients have several notes, name their column: "
            "--read.columns.patient_id '<column>'"
        )
    if any(row["not annotated"] or row.get(_NOTHING.get(annotation, "")) for row in rows):
        yield _EMPTY_CELL[annotation]
    counts = {name: _counts(notes.records, annotation) for name, notes in splits.items()}
    total = sum(counts.values(), Counter[str]())
    is_name = _are_names([note for notes in splits.values() for note in notes.records], annotation)
    kind = {"codes": "code"}.get(annotation, "label")
    yield format_table(
        [
            {
                kind: label if is_name and n > 1 else shown_id(label, kind),
                **{name: found[label] for name, found in counts.items()},
            }
            for label, n in total.most_common(MOST_LABELS)
        ]
    )
    if len(total) > MOST_LABELS:
        yield f"… and {len(total) - MOST_LABELS} more of {len(total)} {kind}s"
    if annotation != "relations":
        every = (note for notes in splits.values() for note in notes.records)
        found = contradictions(
            [note for note in every if getattr(note, annotation) is not None],
            lambda note: annotation_of(note, annotation),
            offsets=annotation == "spans",
        )
        if found:
            yield str(found)


def _are_names(notes: list[Note], annotation: Annotation) -> bool:
    """Whether labels with blanks may be shown: a column of text can be mapped there by mistake."""
    with suppress(TaskError):
        check_plausible(notes, annotation, allow_implausible=False)
        return True
    return False


def _side(name: str, notes: Iterable[Note], annotation: Annotation) -> dict[str, object]:
    held = list(notes)
    values = [getattr(note, annotation) for note in held]
    nothing = {_NOTHING[annotation]: values.count(())} if annotation in _NOTHING else {}
    return {
        "side": name,
        "notes": len(held),
        "patients": len({note.patient_id for note in held} - {None}),
        "annotated": sum(bool(value) for value in values),
        **nothing,
        "not annotated": values.count(None),
    }


def _counts(notes: Iterable[Note], annotation: Annotation) -> Counter[str]:
    """Label → how many notes (or mentions, or relations) have it."""
    return Counter(label for note in notes for label in _labels_of(note, annotation))


def _labels_of(note: Note, annotation: Annotation) -> Iterable[str]:
    if annotation == "label":
        return () if note.label is None else (note.label,)
    if annotation == "codes":
        return set(note.codes or ())
    return [item.label for item in getattr(note, annotation) or ()]
