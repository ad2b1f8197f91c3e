from hypothesis import given

from clinical_tl.rules.measures import lowered, split_units, words_of
from tests.data.strategies import TEXTS


@given(TEXTS)
def test_units_are_the_visible_characters_in_order(text):
    units = split_units(text)
    pieces = [text[s:e] for s, e in zip(units.starts, units.ends, strict=True)]
    assert [words_of(piece)[0] for piece in pieces] == units.words == words_of(text)
    assert "".join(pieces) == "".join(text.split())
    assert units.starts == sorted(units.starts)
    assert len(units) == len(pieces)


def test_accents_and_soft_hyphens_stay_in_their_word():
    for text in ("Sj\u00f6gren", "Sjo\u0308gren", "Sjo\u0308\u00adgren"):
        units = split_units(f"a {text} b")
        assert units.words == ["a", "Sj\u00f6gren", "b"]
        assert (units.starts[1], units.ends[1]) == (2, 2 + len(text))
    assert lowered("कीवी") == ("कीवी",)


def test_letters_of_scripts_without_blanks_are_units():
    assert split_units("CT示肺炎2型 ไข้ p53").words == ["CT", *"示肺炎2型", "ไ", "ข้", "p53"]


def test_a_run_of_letters_and_digits_is_one_unit():
    assert split_units("IL-6, p53  α_x").words == ["IL", "-", "6", ",", "p53", "α_x"]
    assert lowered("Type-2  DM") == ("type", "-", "2", "dm")
