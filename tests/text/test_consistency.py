"""Mentions that are consistent over a note: which places they get, and which they don't."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_tl.schema import Span
from clinical_tl.text.consistency import consistent_mentions, count_repeats
from clinical_tl.text.units import text_units


def mark(text, *mentions, label="D"):
    """The mentions by the number of their occurrence: ("asthma", 0, 0.9)."""
    spans = []
    for words, number, *score in mentions:
        start = -1
        for _ in range(number + 1):
            start = text.index(words, start + 1)
        spans.append(Span(start, start + len(words), label, score=score[0] if score else None))
    return spans


def added(text, spans):
    known = {span.key for span in spans}
    made = consistent_mentions(text, spans)
    return [text[span.start : span.end] for span in made if span.key not in known]


def scores(text, *mentions):
    return [span.score for span in consistent_mentions(text, mark(text, *mentions))]


def test_the_other_places_of_a_mention_are_mentions():
    text = "Asthma attack in 2010. ASTHMA since; asthma  attack again, asthmatic."
    assert added(text, mark(text, ("Asthma", 0), ("asthma", 0))) == ["ASTHMA"]
    # Not of half of three places.
    assert added(text, mark(text, ("Asthma", 0))) == []
    # How much white space is between the words does not count, unless a line ends there.
    assert added(text, mark(text, ("Asthma attack", 0))) == ["asthma  attack"]
    for end in ("\n", "\r\n", "\r", "\u2028"):
        text = f"chest pain. Rash on chest{end}Pain: none. CHEST pain"
        assert added(text, mark(text, ("chest pain", 0))) == ["CHEST pain"]


def test_the_score_is_what_half_of_the_places_reach():
    text = "cold, cold, cold, cold"
    # Two of four reach 0.8; what has more keeps it, and a threshold leaves all or those.
    assert scores(text, ("cold", 0, 0.9), ("cold", 1, 0.8), ("cold", 2, 0.3)) == [
        0.9, 0.8, 0.8, 0.8,
    ]  # fmt: skip
    assert scores(text, ("cold", 0, 0.9), ("cold", 2, 0.3)) == [0.9, 0.3, 0.3, 0.3]
    assert scores(text, ("cold", 3, 0.9)) == [0.9]
    # Of odd numbers more than half.
    text = "cold, cold, cold"
    assert scores(text, ("cold", 0, 0.9), ("cold", 1, 0.4)) == [0.9, 0.4, 0.4]
    # What has no score was not doubted.
    assert scores(text, ("cold", 0), ("cold", 1, 0.4)) == [None, 0.4, 0.4]
    assert scores(text, ("cold", 0), ("cold", 1)) == [None, None, None]


def test_of_two_labels_the_commoner_one_decides_by_its_own_mentions():
    text = "cold, cold, cold, cold"
    one_each = [*mark(text, ("cold", 0)), *mark(text, ("cold", 1), label="E")]
    assert added(text, one_each) == []
    spans = [*mark(text, ("cold", 0), ("cold", 2)), *mark(text, ("cold", 1), label="E")]
    made = consistent_mentions(text, spans)
    assert [span.label for span in made] == ["D", "E", "D", "D"]
    assert consistent_mentions(text, spans, labels={"E"}) == made[:3]
    assert consistent_mentions(text, spans, labels=("D",)) == made


def test_places_inside_other_mentions_and_words_are_left_alone():
    text = "cancer; breast cancer; cancerous; precancer"
    assert added(text, mark(text, ("cancer", 0), ("breast cancer", 0))) == []
    # The longest first: what it takes is no place of a shorter one.
    text = "breast cancer, cancer, breast cancer, cancer"
    spans = mark(text, ("breast cancer", 0), ("cancer", 1))
    assert added(text, spans) == ["breast cancer", "cancer"]
    # Which then may have most: two of six places, of four without those of the longer one.
    text = "Chest pain. chest pain left, chest pain left, pain left; pain left; chest pain."
    spans = mark(text, ("Chest pain", 0), ("chest pain left", 0), ("pain left", 2))
    made = consistent_mentions(text, spans)
    assert consistent_mentions(text, made) == made
    # Compounds, and words that run together.
    text = "Das Bein. Der Befund beinhaltet: Bein ok. Gebeine."
    assert added(text, mark(text, ("Bein", 0))) == ["Bein"]
    text = "MI in 2010. ADMISSION note. Plan: MI."
    assert added(text, mark(text, ("MI", 0))) == ["MI"]


def test_case_tells_short_words_apart():
    text = "AS as such, AS again"
    assert added(text, mark(text, ("AS", 0))) == ["AS"]
    text = "K and K"
    assert added(text, mark(text, ("K", 0))) == []


def test_numbers_are_no_names():
    text = "67 years, pressure 120/67, 67 beats"
    assert added(text, mark(text, ("67", 0))) == []
    text = "5 mg, then 2.5 mg, at last 5 mg; 1,5 mg"
    assert added(text, mark(text, ("5 mg", 0))) == ["5 mg"]
    text = "type 2, type 2.5, type 2"
    assert added(text, mark(text, ("type 2", 0))) == ["type 2"]


def test_places_that_overlap_themselves_are_taken_once():
    text = "na na x na na na"
    spans = mark(text, ("na na", 0))
    assert [span.start for span in consistent_mentions(text, spans)] == [0, 8]


def test_gaps_and_parts_of_words_decide_nothing_and_stay():
    gapped = Span(0, 14, "D", fragments=((0, 4), (10, 14)))
    text = "pain in the back, fever; pain in the back"
    assert consistent_mentions(text, [gapped]) == (gapped,)
    inside = Span(1, 4, "D")
    assert consistent_mentions(text, [inside]) == (inside,)
    assert consistent_mentions(text, []) == ()
    assert consistent_mentions("", []) == ()


def test_scripts_without_blanks_and_letters_that_fold_into_two():
    text = "血糖高,血糖"
    assert added(text, [Span(0, 2, "D")]) == ["血糖"]
    text = "Straße, STRASSE"
    assert added(text, mark(text, ("Straße", 0))) == ["STRASSE"]
    text = "e\u0301tat, E\u0301TAT"
    assert added(text, [Span(0, 5, "D")]) == ["E\u0301TAT"]


@pytest.mark.parametrize(
    ("mentions", "counted"),
    [
        ([], {}),
        ([("cold", 0)], {"D": (2, 0)}),
        ([("cold", 0), ("cold", 1)], {"D": (2, 1)}),
        ([("cold", 0), ("cold", 1), ("cold", 2)], {"D": (2, 2)}),
        ([("cold", 0), ("flu", 0)], {"D": (2, 0)}),
    ],
)
def test_the_places_of_gold_mentions_are_counted(mentions, counted):
    text = "cold, flu, cold, cold"
    assert count_repeats(text, mark(text, *mentions)) == counted


def test_each_label_is_counted_for_itself():
    text = "cold 5 mg cold 2.5 mg cold"
    spans = [*mark(text, ("cold", 0), ("cold", 1)), *mark(text, ("mg", 0), label="Unit")]
    assert count_repeats(text, spans) == {"D": (2, 1), "Unit": (1, 0)}


def test_long_notes_take_no_time():
    """Each of these took seconds to minutes where every place was asked of every mention."""
    text = "asthma attack, " * 5_000
    spans = [Span(15 * i, 15 * i + 6, "D", score=0.5) for i in range(0, 5_000, 2)]
    assert len(consistent_mentions(text, spans)) == 5_000
    text = "血糖高," * 10_000
    spans = [Span(4 * i, 4 * i + 2 + i % 2, "D") for i in range(0, 10_000, 5)]
    assert len(consistent_mentions(text, spans)) >= len(spans)


WORDS = ("ab", "ab", "Ab", "cde", "cDe", "f", "-", "ab cde", "12", "ß", "SS", "\n", "é")


@given(st.data())
def test_it_adds_what_is_free_and_doing_it_again_changes_nothing(data):
    words = data.draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=16))
    text = " ".join(words)
    units = text_units(text)
    spans, at = [], 0
    while at < len(units):
        length = data.draw(st.integers(1, min(3, len(units) - at)))
        if data.draw(st.booleans()):
            label = data.draw(st.sampled_from("DE"))
            score = data.draw(st.sampled_from([None, 0.2, 0.5, 0.9]))
            start, end = int(units.starts[at]), int(units.ends[at + length - 1])
            spans.append(Span(start, end, label, score=score))
        at += length
    made = consistent_mentions(text, spans)
    before = {span.key: span.score for span in spans}
    after = {span.key: span.score for span in made}
    assert set(before) <= set(after)
    assert len(after) == len(made)
    for key, score in before.items():
        assert after[key] == score or (score is not None and (after[key] or 2) > score)
    assert list(made) == sorted(made, key=lambda span: span.key)
    assert all(one.end <= two.start for one, two in pairwise(made))
    written = {" ".join(text[s.start : s.end].split()).casefold() for s in spans}
    assert {" ".join(text[s.start : s.end].split()).casefold() for s in made} == written
    assert consistent_mentions(text, made) == made
    for more, agreeing in count_repeats(text, made).values():
        assert 0 <= agreeing <= more
