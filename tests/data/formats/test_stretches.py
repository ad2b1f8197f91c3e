import pytest

from clinical_tl.data.formats.counting import BYTES, UTF16, Quoted
from clinical_tl.data.formats.problems import UnreadableError
from clinical_tl.data.formats.stretches import CHARACTERS, Stretch, join

UNITS = (CHARACTERS, UTF16, BYTES)


def test_gaps_are_a_mark_and_blanks():
    parts = [Stretch(2, "ab"), Stretch(4, "cd"), Stretch(7, "ef"), Stretch(11, "gh", " ")]
    joined = join(parts, [], UNITS)
    assert (joined.text, joined.unit) == ("  abcd\nef  gh", CHARACTERS)
    assert joined.pieces([(2, 6), (11, 13)]) == [(2, 6), (11, 13)]
    assert joined.pieces([(2, 14)]) is None


@pytest.mark.parametrize(
    ("second", "start", "unit"), [(5, 7, CHARACTERS), (6, 9, UTF16), (8, 13, BYTES)]
)
def test_the_unit_is_the_one_in_which_the_mentions_fit(second, start, unit):
    parts = [Stretch(0, "a 😀 b"[:4]), Stretch(second, "😀 rash")]
    joined = join(parts, [Quoted([(start, start + 4)], "rash")], UNITS)
    assert (joined.text, joined.unit) == ("a 😀 \n😀 rash", unit)
    assert joined.pieces([(start, start + 4)]) == [(7, 11)]


def test_an_offset_within_a_character_is_none():
    joined = join([Stretch(0, "😀 a")], [Quoted([(3, 4)], "a")], (UTF16,))
    assert joined.pieces([(1, 2)]) is None


def test_parts_that_overlap_are_refused():
    with pytest.raises(UnreadableError, match="parts of a text that overlap"):
        join([Stretch(0, "abc"), Stretch(2, "d")], [], UNITS)


@pytest.mark.parametrize("offset", [100_004, 60_000_000, 10**18])
def test_parts_far_apart_are_refused_before_they_fill_memory(offset):
    with pytest.raises(UnreadableError, match="further apart than they are long"):
        join([Stretch(0, "abc"), Stretch(offset, "d")], [], UNITS)


def test_gaps_that_a_text_may_have_are_kept():
    assert len(join([Stretch(0, "abc"), Stretch(100_003, "d")], [], UNITS).text) == 100_004
    long = "a" * 200_000
    assert len(join([Stretch(0, long), Stretch(350_000, "d")], [], UNITS).text) == 350_001


def test_gaps_are_measured_in_each_unit():
    # In characters, the second part would lie 240,000 blanks after the first.
    joined = join([Stretch(0, "\u4e00" * 120_000), Stretch(360_001, "d")], [], UNITS)
    assert (len(joined.text), joined.unit) == (120_002, BYTES)
