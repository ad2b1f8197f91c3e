import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_tl.errors import TaskError
from clinical_tl.schema import Note, Span
from clinical_tl.text.pairs import find_entities, find_pairs
from clinical_tl.text.words import Words
from tests.data.strategies import TEXTS

#       0    5    10   15   20   25
TEXT = "aaaa bbbb cccc dddd eeee ffff"
SPANS = (
    Span(0, 4, "Drug", id="T1", concepts=("D1",)),
    Span(10, 14, "Finding", id="T2", concepts=("D2", "D3")),
    Span(15, 19, "Drug", id="T3", concepts=("D1",)),
    Span(25, 29, "Finding", id="T4"),
)
NOTE = Note("n", TEXT, spans=SPANS)


def found(level, types=(("Drug", "Finding"),), max_distance=None):
    pairs = find_pairs(NOTE, Words.of(TEXT), level, types, max_distance)
    return [(pair.head.id, pair.tail.id, pair.distance) for pair in pairs]


def test_mentions_pair_by_type_direction_and_distance():
    everything = [("T1", "T2", 1), ("T1", "T4", 4), ("T3", "T2", 0), ("T3", "T4", 1)]
    assert found("mention") == everything
    assert found("mention", max_distance=1) == [p for p in everything if p[2] <= 1]
    assert found("mention", [("Finding", "Drug")]) == [
        ("T2", "T1", 1),
        ("T2", "T3", 0),
        ("T4", "T1", 4),
        ("T4", "T3", 1),
    ]
    assert found("mention", [("Drug", "Drug")]) == [("T1", "T3", 2), ("T3", "T1", 2)]


def test_concepts_gather_their_mentions_and_the_closest_count():
    assert [(e.id, e.label, len(e.mentions)) for e in find_entities(NOTE, "concept")] == [
        ("D1", "Drug", 2),
        ("D2", "Finding", 1),
        ("D3", "Finding", 1),
    ]
    assert found("concept") == [("D1", "D2", 0), ("D1", "D3", 0)]
    (pair, _) = find_pairs(NOTE, Words.of(TEXT), "concept", [("Drug", "Finding")], 0)
    assert [head.id for head, _ in pair.mentions] == ["T3", "T1"]
    assert found("concept", [("Finding", "Finding")]) == [("D2", "D3", 0), ("D3", "D2", 0)]


def test_mentions_without_an_id_are_refused():
    with pytest.raises(TaskError, match=r"note 'n': 1 of 2 spans have no id.*level='concept'"):
        find_entities(Note("n", TEXT, spans=(SPANS[0], Span(5, 9, "Drug"))), "mention")


@given(TEXTS, st.data())
def test_touched_words_are_those_that_share_a_character(text, data):
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    words = Words.of(text)
    first, last = words.touched(start, end)
    sharing = [
        i
        for i, (a, b) in enumerate(zip(words.starts, words.ends, strict=True))
        if a < end and start < b
    ]
    assert list(range(first, last)) == sharing


def test_white_space_touches_no_word():
    words = Words.of(" ab  cd")
    assert words.touched(0, 3) == words.touched(1, 5) == (0, 1)
    assert words.touched(3, 5) == (1, 1)
    assert words.touched(2, 6) == (0, 2)


def test_words_between_do_not_depend_on_the_order():
    words = Words.of(TEXT)
    assert words.between(SPANS[0], SPANS[3]) == words.between(SPANS[3], SPANS[0]) == 4
    assert words.between(SPANS[1], SPANS[2]) == 0
    assert words.between(Span(0, 14, "x"), Span(5, 9, "x")) == 0
