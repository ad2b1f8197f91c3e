"""What can be trained on or scored: annotated notes, with named labels, within their text."""

import pytest

from clinical_tl.errors import TaskError
from clinical_tl.schema import Note, Relation, Span
from clinical_tl.tasks.task_checks import check_annotated

SPANS = (Span(0, 5, "Drug", id="T1"), Span(6, 11, "Dose", id="T2"))
NOTES = [
    Note("a", "12345 67890", label="x", codes=("I10",), spans=SPANS, relations=()),
    Note(
        "b",
        "12345 67890",
        label="y",
        codes=(),
        spans=(),
        relations=(Relation("T1", "T2", "has"),),
    ),
]
BLANK = {
    "label": {"label": " "},
    "codes": {"codes": ("I10", "")},
    "spans": {"spans": (Span(0, 5, "\t"),)},
    "relations": {"relations": (Relation("T1", "T2", " "),)},
}


@pytest.mark.parametrize("field", BLANK)
def test_labels_have_a_name(field):
    check_annotated(NOTES, field, "a task")
    blank = Note("c", "12345 67890", **BLANK[field])
    with pytest.raises(TaskError, match=r"a task: 1 notes have a blank label, e.g. \['c'\]"):
        check_annotated([*NOTES, blank], field, "a task")


def test_spans_are_within_the_text_and_nothing_of_it_is_shown():
    check_annotated([Note("c", "SECRET", spans=(Span(0, 6, "Drug"),))], "spans", "a task")
    beyond = Note("c", "SECRET", spans=(Span(0, 7, "Drug"),))
    with pytest.raises(TaskError, match=r"1 of 3 notes have spans that end beyond") as caught:
        check_annotated([*NOTES, beyond], "spans", "a task")
    assert "SECRET" not in str(caught.value)
