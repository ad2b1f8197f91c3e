"""Counts of notes: of several sets one after the other, and as JSON."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_tl.metrics.note_counts import MICRO_AND_MACRO, NoteCounts, count_labels, counts_at

LABELS = st.lists(st.sampled_from(["I10", "E11", "J45", "N18"]), max_size=3)
NOTES = st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=12)


def counted(notes):
    return count_labels(
        [(Counter(a) & Counter(b), Counter(a), Counter(b)) for a, b in notes], MICRO_AND_MACRO
    )


def figures(counts, weights):
    return {metric: values.tolist() for metric, values in counts.figures(weights).items()}


@given(NOTES, st.integers(0, 12), st.integers(0, 2**16))
def test_parts_say_together_what_all_say(notes, cut, seed):
    cut = min(cut, len(notes))
    parts = [counted(part) for part in (notes[:cut], notes[cut:]) if part]
    joined, whole = NoteCounts.joined(parts), counted(notes)
    weights = np.random.default_rng(seed).integers(0, 3, (4, len(notes))).astype(float)
    assert len(joined) == len(whole)
    for metric, values in figures(whole, weights).items():
        np.testing.assert_allclose(figures(joined, weights)[metric], values, equal_nan=True)


@given(NOTES)
def test_as_json_they_are_the_same(notes):
    counts = counted(notes)
    again = NoteCounts.from_dict(json.loads(json.dumps(counts.to_dict())))
    ones = np.ones((1, len(notes)))
    assert figures(again, ones) == figures(counts, ones)
    assert again.labels == counts.labels
    assert again.to_dict() == counts.to_dict()


def test_means_are_joined_and_undefined_ones_stay_so():
    parts = [
        counts_at([0], [0], np.array([[1.0, 0, 0]]), (2, 1), {}, {"map": np.array(values)})
        for values in ([0.5, np.nan], [1.0, 0.0])
    ]
    joined = NoteCounts.joined([NoteCounts.from_dict(part.to_dict()) for part in parts])
    assert joined.means["map"].tolist() == pytest.approx([0.5, np.nan, 1.0, 0.0], nan_ok=True)
    assert joined.figures(np.ones((1, 4)))["map"] == pytest.approx([0.5])


def test_columns_without_names_are_joined_by_their_places():
    row = np.array([[1.0, 0, 0]])
    parts = [counts_at([0], [1], row, (1, 2), MICRO_AND_MACRO) for _ in range(2)]
    joined = NoteCounts.joined(parts)
    assert joined.tp.toarray().tolist() == [[0, 1], [0, 1]]
    assert joined.labels == ()
