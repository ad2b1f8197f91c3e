import pytest

from clinical_tl.text.scripts import characters, has_blankless, is_blankless, parts, sets_blank


@pytest.mark.parametrize("letter", [*"高あアーｱ々ㄅกໜកမཀ"])
def test_scripts_without_blanks_are_known(letter):
    assert is_blankless(letter)
    assert has_blankless(f"CT {letter}")


@pytest.mark.parametrize("letter", [*"aéβдʼ한بשक3๓，。"])
def test_letters_of_other_scripts_digits_and_signs_are_not_taken_for_theirs(letter):
    assert not is_blankless(letter)
    assert not has_blankless(letter)


def test_a_character_is_what_a_reader_sees():
    text = "e\u0301👩\u200d⚕\ufe0fกำ각ی\u200cه"
    assert [text[start:end] for start, end in characters(text)] == [
        "e\u0301",
        "👩\u200d⚕\ufe0f",
        "กำ",
        "각",
        "ی",
        "ه",
    ]


def test_a_word_is_cut_at_letters_that_may_be_words():
    text = "是CT示肺炎α"
    assert [text[start:end] for start, end in parts(text, 1, 7)] == ["CT", "示", "肺", "炎", "α"]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("no", "fever", True),
        ("é", "β", True),
        ("한국", "어", True),
        ("Ａ", "１", True),
        ("患", "者", False),
        ("CT", "示", False),
        ("ก็", "3", False),
        ("ไข้", "CT", False),
        ("，", "CT", False),
        ("CT", "（", False),
        ("CT", "(", True),
    ],
)
def test_blanks_stand_between_words_but_beside_scripts_without(before, after, expected):
    assert sets_blank(before, after) is expected
