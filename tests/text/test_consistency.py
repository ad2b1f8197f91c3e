"""Mentions that are consistent over a note: which places they get, and which they don't."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_tl.schema import Span
from clinical_tl.text.consistency import consistent_mentions, count_repeats
from clinical_tl.text.units import text_units


def mark(text, *mentions, label="D", score=None):
    """The mentions by the number of their occurrence: ("asthma", 0)."""
    spans = []
    for words, number in mentions:
        start = -1
        for _ in range(number + 1):
            start = text.index(words, start + 1)
        spans.append(Span(start, start + len(words), label, score=score))
    return spans


def found(text, spans):
    made = consistent_mentions(text, text_units(text), spans)
    return [text[span.start : span.end] for span in made if span not in spans]


def test_the_other_places_of_a_mention_are_mentions_with_the_mean_score():
    text = "Asthma attack in 2010. ASTHMA since; asthma\nattack again, asthmatic."
    spans = [Span(0, 6, "D", score=0.9), Span(37, 43, "D", score=0.5)]
    made = consistent_mentions(text, text_units(text), spans)
    assert [(text[s.start : s.end], s.score) for s in made] == [
        ("Asthma", 0.9), ("ASTHMA", 0.7), ("asthma", 0.5),
    ]  # fmt: skip
    # White space between the words does not count, and one without a score leaves none.
    assert found(text, mark(text, ("Asthma attack", 0))) == ["asthma\nattack"]
    spans = [Span(0, 6, "D", score=0.9), Span(37, 43, "D")]
    (added,) = set(consistent_mentions(text, text_units(text), spans)) - set(spans)
    assert added.score is None


def test_what_is_a_mention_in_fewer_than_half_of_its_places_stays_there():
    text = "cold, cold, cold, cold"
    assert found(text, mark(text, ("cold", 0))) == []
    assert found(text, mark(text, ("cold", 0), ("cold", 1))) == ["cold", "cold"]
    # Of two labels the commoner one decides, by its own mentions.
    spans = [*mark(text, ("cold", 0)), *mark(text, ("cold", 1), label="E")]
    assert found(text, spans) == []
    spans = [*mark(text, ("cold", 0), ("cold", 2)), *mark(text, ("cold", 1), label="E")]
    (added,) = set(consistent_mentions(text, text_units(text), spans)) - set(spans)
    assert added.label == "D"


def test_places_inside_other_mentions_and_words_are_left_alone():
    text = "cancer; breast cancer; cancerous; precancer"
    assert found(text, mark(text, ("cancer", 0), ("breast cancer", 0))) == []
    # The longest first: what it takes is no place of a shorter one.
    text = "breast cancer, cancer, breast cancer, cancer"
    spans = mark(text, ("breast cancer", 0), ("cancer", 1))
    assert found(text, spans) == ["breast cancer", "cancer"]
    assert [s.end - s.start for s in consistent_mentions(text, text_units(text), spans)] == [
        13, 6, 13, 6,
    ]  # fmt: skip


def test_case_tells_short_words_apart():
    text = "AS as such, AS again"
    assert found(text, mark(text, ("AS", 0))) == ["AS"]
    text = "K and K"
    assert found(text, mark(text, ("K", 0))) == []


def test_places_that_overlap_themselves_are_taken_once():
    text = "na na x na na na"
    assert found(text, mark(text, ("na na", 0))) == []
    spans = mark(text, ("na na", 0))
    text = "na na x na na"
    assert found(text, spans) == ["na na"]


def test_gaps_and_parts_of_words_decide_nothing_and_stay():
    gapped = Span(0, 14, "D", fragments=((0, 4), (10, 14)))
    text = "pain in the back, fever; pain in the back"
    assert consistent_mentions(text, text_units(text), [gapped]) == (gapped,)
    inside = Span(1, 4, "D")
    assert consistent_mentions(text, text_units(text), [inside]) == (inside,)
    assert consistent_mentions(text, text_units(text), []) == ()
    assert consistent_mentions("", text_units(""), []) == ()


def test_units_of_tokens_are_found_inside_words():
    text = "血糖高,血糖"
    assert found(text, [Span(0, 2, "D")]) == ["血糖"]
    text = "Leberzirrhose, Leber"
    spans = [Span(15, 20, "D")]
    assert found(text, spans) == []
    made = consistent_mentions(text, text_units(text, "tokens"), spans)
    assert [span.key for span in made] == [(0, 5, "D"), (15, 20, "D")]


@pytest.mark.parametrize(
    ("mentions", "counted"),
    [
        ([], (0, 0)),
        ([("cold", 0)], (2, 0)),
        ([("cold", 0), ("cold", 1)], (2, 1)),
        ([("cold", 0), ("cold", 1), ("cold", 2)], (2, 2)),
        ([("cold", 0), ("flu", 0)], (2, 0)),
    ],
)
def test_the_places_of_gold_mentions_are_counted(mentions, counted):
    text = "cold, flu, cold, cold"
    assert count_repeats(text, text_units(text), mark(text, *mentions)) == counted


WORDS = ("ab", "ab", "Ab", "cde", "cDe", "f", "-", "ab cde", "12")


@given(st.data())
def test_it_adds_what_is_free_and_adds_nothing_twice(data):
    words = data.draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=14))
    text = " ".join(words)
    units = text_units(text)
    spans, at = [], 0
    while at < len(units):
        length = data.draw(st.integers(1, min(3, len(units) - at)))
        if data.draw(st.booleans()):
            label = data.draw(st.sampled_from("DE"))
            spans.append(Span(int(units.starts[at]), int(units.ends[at + length - 1]), label))
        at += length
    made = consistent_mentions(text, units, spans)
    assert set(spans) <= set(made)
    assert list(made) == sorted(made, key=lambda span: span.key)
    assert all(one.end <= two.start for one, two in pairwise(made))
    written = {text[s.start : s.end].casefold() for s in spans}
    assert {text[s.start : s.end].casefold() for s in made} == written
    assert consistent_mentions(text, units, made) == made
    # What all places agree on is counted so.
    more, agreeing = count_repeats(text, units, made)
    assert 0 <= agreeing <= more
