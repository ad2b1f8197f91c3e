from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from clinical_tl.schema import Note, Relation, Span
from clinical_tl.training.fingerprint import whole_note

NOTE = Note("1", "a fever", "p", "x", ("I10",), (Span(2, 7, "X", "T1"),), (), {"sex": "f", "n": 1})


@pytest.mark.parametrize(
    "change",
    [
        {"note_id": "2"},
        {"text": "b fever"},
        {"patient_id": None},
        {"label": "y"},
        {"codes": ()},
        {"codes": None},
        {"spans": ()},
        {"spans": (Span(2, 7, "X", "T2"),)},
        {"spans": (Span(2, 7, "X", "T1", concepts=("C1",)),)},
        {"spans": (Span(2, 7, "X", "T1", attributes=(("negation", "true"),)),)},
        {"spans": (Span(2, 7, "X", "T1", score=0.5),)},
        {"relations": (Relation("T1", "T1", "r"),)},
        {"metadata": {"sex": "m", "n": 1}},
        {"metadata": {"sex": "f", "n": "1"}},
    ],
    ids=str,
)
def test_a_run_is_known_by_all_of_its_notes(change):
    assert whole_note(replace(NOTE, **change)) != whole_note(NOTE)


def test_what_is_equal_is_known_as_equal():
    assert whole_note(replace(NOTE, metadata={"n": 1, "sex": "f"})) == whole_note(NOTE)
    odd = replace(
        NOTE, metadata={"day": date(2024, 1, 2), 1: {1.5}}, spans=(Span(np.int64(0), 1, "X"),)
    )
    assert whole_note(odd) == whole_note(replace(odd))


@pytest.mark.parametrize("kind", [set, frozenset])
def test_the_order_of_a_set_is_nobodys(kind):
    first, second = kind([0, 8]), kind([8, 0])
    assert repr(first) != repr(second)
    for of in (lambda own: own, lambda own: [{"seen": own}]):
        notes = [replace(NOTE, metadata={"wards": of(own)}) for own in (first, second)]
        assert whole_note(notes[0]) == whole_note(notes[1])
    assert whole_note(replace(NOTE, metadata={"wards": kind([0])})) != whole_note(notes[0])
