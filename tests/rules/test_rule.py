import pytest

from clinical_tl.errors import NoteError
from clinical_tl.rules.rule import Rule, is_abbreviation


def test_the_key_forgets_case_and_white_space():
    assert Rule("a", "Heart\n failure", "P", "o").key == Rule("b", "heart FAILURE", "P", "o").key


@pytest.mark.parametrize(
    "fields",
    [
        {"pattern": "  "},
        {"label": ""},
        {"support": -1},
        {"precision": 1.5},
        {"pattern": "a\udce9"},
    ],
)
def test_impossible_rules_are_refused(fields):
    with pytest.raises(NoteError, match=r"rule 'r7'.*(allowed|as UTF-8)"):
        Rule(**{"id": "r7", "pattern": "fever", "label": "P", "origin": "o", **fields})


@pytest.mark.parametrize(
    ("forms", "expected"),
    [
        (["WAS"], True),
        (["A-T"], True),
        (["BRCA1"], True),
        (["WAS", "was"], False),
        (["Was"], False),
        (["DISEASE"], False),
        (["53"], False),
    ],
)
def test_abbreviations_are_short_and_always_capitals(forms, expected):
    assert is_abbreviation(forms) is expected
