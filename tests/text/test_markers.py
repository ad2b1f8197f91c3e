import re

from hypothesis import given
from hypothesis import strategies as st

from clinical_tl.schema import Note, Span
from clinical_tl.text.markers import ELLIPSIS, mark_pair
from clinical_tl.text.pairs import find_pairs
from clinical_tl.text.words import Words
from tests.data.strategies import TEXTS, ranges

TEXT = "Aspirin and more aspirin: a long line of words that ends in a peptic ulcer, yes."
MARKER = re.compile(r"@ \* drug \* | @(?! \*)|# \^ finding \^ | #(?! \^)")


def pair_of(text, *spans):
    note = Note("n", text, spans=spans)
    (pair,) = find_pairs(note, Words.of(text), "concept", [("Drug", "Finding")], None)
    return pair


def spanning(text, phrase, label, concept, after=0):
    start = text.index(phrase, after)
    return Span(start, start + len(phrase), label, concepts=(concept,))


def marked(text, *spans, mention_pairs=1, context=3):
    pair = pair_of(text, *spans)
    return mark_pair(text, Words.of(text), pair, mention_pairs=mention_pairs, context=context)


ASPIRIN = spanning(TEXT, "Aspirin", "Drug", "D1")
AGAIN = spanning(TEXT, "aspirin", "Drug", "D1")
ULCER = spanning(TEXT, "peptic ulcer", "Finding", "D2")


def test_the_markers_are_those_of_the_paper():
    found = marked(TEXT, ASPIRIN, ULCER, context=100)
    assert found.text == (
        "@ * drug * Aspirin @ and more aspirin: a long line of words that ends in a "
        "# ^ finding ^ peptic ulcer #, yes."
    )
    assert found.elided == 0


def test_what_lies_far_from_both_mentions_is_left_out_and_counted():
    found = marked(TEXT, ASPIRIN, ULCER, context=2)
    assert found.text == (
        "@ * drug * Aspirin @ and more ... in a # ^ finding ^ peptic ulcer #, yes."
    )
    assert found.elided == 8


def test_the_closest_mentions_are_shown_and_all_shown_mentions_marked():
    closest = marked(TEXT, ASPIRIN, AGAIN, ULCER, context=1)
    assert closest.text == "more @ * drug * aspirin @: a ... a # ^ finding ^ peptic ulcer #, yes."
    nearby = marked(TEXT, ASPIRIN, AGAIN, ULCER, context=3)
    assert nearby.text.startswith("@ * drug * Aspirin @ and more @ * drug * aspirin @: a long")
    both = marked(TEXT, ASPIRIN, AGAIN, ULCER, context=0, mention_pairs=2)
    assert both.text == (
        "@ * drug * Aspirin @ ... @ * drug * aspirin @: ... # ^ finding ^ peptic ulcer #,"
    )


def test_nested_and_equal_mentions_get_nested_markers():
    text = "aspirin ulcer"
    whole = Span(0, 13, "Finding", concepts=("D2",))
    inside = Span(0, 7, "Drug", concepts=("D1",))
    assert marked(text, inside, whole).text == "# ^ finding ^ @ * drug * aspirin @ ulcer #"
    same = Span(0, 13, "Drug", concepts=("D1",))
    assert marked(text, same, whole).text == "@ * drug * # ^ finding ^ aspirin ulcer # @"
    end = Span(8, 13, "Drug", concepts=("D1",))
    assert marked(text, end, whole).text == "# ^ finding ^ aspirin @ * drug * ulcer @ #"


@st.composite
def pairs_in_text(draw):
    text = draw(TEXTS.filter(lambda text: not set(text) & set("@#*^.") and len(text) > 1))
    spans = []
    for label, concept in (("Drug", "D1"), ("Finding", "D2")):
        for _ in range(draw(st.integers(1, 3))):
            start, end = ranges(draw, len(text))[0]
            spans.append(Span(start, end, label, concepts=(concept,)))
    return text, spans


@given(pairs_in_text(), st.integers(0, 4), st.integers(1, 3))
def test_removing_the_markers_gives_back_the_context(drawn, context, mention_pairs):
    text, spans = drawn
    found = marked(text, *spans, mention_pairs=mention_pairs, context=context)
    stretches = MARKER.sub("", found.text).split(ELLIPSIS)
    place = 0
    for stretch in stretches:
        place = text.index(stretch, place) + len(stretch)
    assert found.text.count("@ * drug *") == len(re.findall(r" @(?! \*)", found.text)) >= 1
    assert found.text.count("# ^ finding ^") >= 1
    shown = sum(len(Words.of(stretch)) for stretch in stretches)
    assert shown + found.elided <= len(Words.of(text))
    whole = marked(text, *spans, mention_pairs=mention_pairs, context=1000)
    assert MARKER.sub("", whole.text).split() == text.split()
    assert whole.elided == 0
