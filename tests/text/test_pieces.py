"""Pieces of a note: every visible character in one, none longer than allowed."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from clinical_tl.text.pieces import LONGEST, pieces


def said(text):
    return [text[start:end] for start, end in pieces(text)]


def test_sentences_items_and_lines_are_pieces():
    assert said("Fever. BP 1.5 high\n- rash; cough!  ") == [
        "Fever.",
        "BP 1.5 high",
        "- rash;",
        "cough!",
    ]
    assert said("头痛。发热") == ["头痛。", "发热"]
    assert said(" \n ") == []


def test_a_run_without_an_end_is_cut_between_words():
    text = " ".join(["word"] * (2 * LONGEST + 1))
    assert [len(piece.split()) for piece in said(text)] == [LONGEST, LONGEST, 1]


@given(st.text())
def test_no_visible_character_is_lost_or_said_twice(text):
    bounds = list(pieces(text))
    assert all(start < end for start, end in bounds)
    assert all(left[1] <= right[0] for left, right in pairwise(bounds))
    assert "".join("".join(piece.split()) for piece in said(text)) == "".join(text.split())
