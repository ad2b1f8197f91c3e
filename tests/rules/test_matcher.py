import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_tl.data.notes import Notes
from clinical_tl.rules.matcher import RuleMatcher
from clinical_tl.schema import Note
from tests.rules.lexicons import found, rule

ODD = (
    "I\u0307 😀 heart\u00a0failure; Heart\r\nFAILURE, heart-failure heartfailure pre_heart failure"
)


def spans(text, *rules):
    return RuleMatcher(rules, context=False).spans(text)


def test_offsets_are_characters_and_white_space_is_free():
    assert found(ODD, spans(ODD, rule("heart failure"))) == [
        "heart\u00a0failure",
        "Heart\r\nFAILURE",
    ]


def test_the_longest_wins_then_the_first():
    text = "chronic heart failure with acute chronic heart"
    rules = [
        rule("heart failure"),
        rule("chronic heart failure"),
        rule("acute chronic"),
        rule("chronic heart"),
    ]
    assert found(text, spans(text, *rules)) == ["chronic heart failure", "acute chronic"]


def test_an_abbreviation_in_capitals_is_not_the_word():
    text = "WAS was Was w.a.s. DM2 dm2"
    assert found(text, spans(text, rule("WAS", match_case=True), rule("dm2"))) == [
        "WAS",
        "DM2",
        "dm2",
    ]


def test_of_rules_for_one_stretch_the_most_precise_wins():
    rules = [
        rule("ague", "A", precision=None),
        rule("ague", "B", precision=0.4, support=9),
        rule("Ague", "C", precision=0.6, support=2),
        rule("AGUE", "D", precision=0.6, support=3),
        rule("agUE", "AA", precision=0.6, support=3),
    ]
    (span,) = spans("Ague", *rules)
    assert (span.label, span.score) == ("AA", 0.6)
    (span,) = spans("Ague", *rules[:1])
    assert span.score is None


def test_spans_say_which_rule_and_what_it_knows():
    (span,) = spans("ague", rule("ague", concepts=("D1", "D2"), precision=0.25, support=4))
    assert span.concepts == ("D1", "D2")
    assert span.attributes == (("source", "rules"), ("rule", "t:ague:Problem"))
    assert span.score == 0.25


def test_context_adds_attributes_and_can_be_left_out():
    text = "No ague."
    (span,) = RuleMatcher([rule("ague")]).spans(text)
    assert ("negation", "true") in span.attributes
    (span,) = RuleMatcher([rule("ague")], context=False).spans(text)
    assert ("negation", "true") not in span.attributes


def test_predictions_keep_the_order_of_notes_and_records_equal_datasets():
    notes = [Note("b", "ague"), Note("a", "nothing"), Note("c", "")]
    matcher = RuleMatcher([rule("ague")])
    predictions = matcher.predict(notes)
    assert [(p.note_id, len(p.spans)) for p in predictions] == [("b", 1), ("a", 0), ("c", 0)]
    assert matcher.predict(Notes(notes)) == predictions
    assert RuleMatcher([]).predict(notes)[0].spans == ()


WORDS = ["a", "A", "b", "ß", "İ", "1", "-", ",", "a1", "_"]
SEPARATORS = st.sampled_from([" ", "  ", "\n", "\t", "\u00a0"])


@given(
    patterns=st.lists(
        st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join),
        min_size=1,
        max_size=6,
        unique_by=str.lower,
    ),
    words=st.lists(st.tuples(st.sampled_from(WORDS), SEPARATORS), max_size=30),
)
def test_occurrences_equal_a_search_word_by_word(patterns, words):
    """Against a direct scan of the lower-cased words, written without spaCy."""
    text = "".join(word + separator for word, separator in words)
    units = [(m[0].lower(), m.start(), m.end()) for m in re.finditer(r"\S+", text)]
    expected = set()
    for pattern in patterns:
        key = pattern.lower().split()
        for first in range(len(units) - len(key) + 1):
            window = units[first : first + len(key)]
            if [unit[0] for unit in window] == key:
                expected.add((pattern, window[0][1], window[-1][2]))
    matcher = RuleMatcher([rule(pattern) for pattern in patterns], context=False)
    occurrences = matcher.occurrences(text)
    assert {(o.rule.pattern, o.start, o.end) for o in occurrences} == expected
    assert len(occurrences) == len(expected)
    chosen = matcher.spans(text)
    for one, other in pairwise(chosen):
        assert one.end <= other.start
    # Whatever was found and not chosen lies in the way of something at least as long.
    for _, start, end in expected:
        assert any(
            s.start < end and start < s.end and s.end - s.start >= end - start for s in chosen
        )


@pytest.mark.parametrize("text", ["", " \n", "…", "x" * 10_000])
def test_texts_without_a_mention_give_nothing(text):
    assert spans(text, rule("ague")) == ()


def test_rules_fire_within_a_chinese_sentence_and_not_within_a_compound():
    text = "患者有高血压病史，CT示肺炎。"
    found = spans(text, rule("高血压"), rule("血压"), rule("肺炎"))
    assert [(s.start, s.end) for s in found] == [(3, 6), (12, 14)]
    assert spans("Blutdruckabfall", rule("Blutdruck")) == ()
