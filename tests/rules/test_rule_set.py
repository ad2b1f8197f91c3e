import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_tl.errors import FaultyNotesError, NoteError
from clinical_tl.rules.rule import Rule
from clinical_tl.rules.rule_set import RuleSet
from tests.data.strategies import VALUES, WORDS
from tests.rules.lexicons import marked, rule

RULES = st.builds(
    Rule,
    id=st.uuids().map(str),
    pattern=WORDS | VALUES | st.just('a "b"\u2028c'),
    label=WORDS,
    origin=WORDS,
    concepts=st.lists(WORDS, max_size=3).map(tuple),
    match_case=st.booleans(),
    support=st.integers(0, 10**6),
    precision=st.none() | st.floats(0, 1),
)


@given(rules=st.lists(RULES, max_size=5, unique_by=lambda r: r.id))
def test_save_and_load_give_the_same_rules(tmp_path_factory, rules):
    path = tmp_path_factory.mktemp("rules") / "deep" / "rules.jsonl"
    before = RuleSet(tuple(rules))
    assert before.save(path) == path
    assert RuleSet.load(path) == before
    assert [file.name for file in path.parent.iterdir()] == ["rules.jsonl"]


def test_a_line_can_be_read_by_a_person(tmp_path):
    path = RuleSet((Rule("mesh:1", "ague", "Problem", "mesh", ("D1", "D2"), False, 4, 0.75),)).save(
        tmp_path / "r.jsonl"
    )
    assert path.read_text() == (
        '{"id": "mesh:1", "pattern": "ague", "label": "Problem", "origin": "mesh", '
        '"concepts": ["D1", "D2"], "match_case": false, "support": 4, "precision": 0.75}\n'
    )


def test_a_rule_written_by_hand_needs_four_fields(tmp_path):
    path = tmp_path / "hand.jsonl"
    path.write_text('\n{"id": "h1", "pattern": "ague", "label": "P", "origin": "me"}\n\n')
    assert RuleSet.load(path).rules == (Rule("h1", "ague", "P", "me"),)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("{", "no JSON"),
        ("[1]", "a JSON list"),
        ('{"id": "a"}', "no pattern, label, origin"),
        ('{"id": 1, "pattern": "x", "label": "l", "origin": "o"}', "id is of type int"),
        ('{"id": "a", "pattern": " ", "label": "l", "origin": "o"}', "pattern is empty"),
        ('{"id": "a", "pattern": "x", "label": "l", "origin": "o", "n": 1}', "1 unknown keys"),
        (
            '{"id": "a", "pattern": "x", "label": "l", "origin": "o", "support": true}',
            "support is of type bool",
        ),
        (
            '{"id": "a", "pattern": "x", "label": "l", "origin": "o", "concepts": [1]}',
            "a concept that is no string",
        ),
    ],
)
def test_faulty_lines_are_all_told_with_their_place(tmp_path, line, found):
    path = tmp_path / "bad.jsonl"
    good = json.dumps({"id": "g", "pattern": "secret", "label": "l", "origin": "o"})
    path.write_text(f"{good}\n{line}\n{line}\n")
    with pytest.raises(FaultyNotesError, match=found) as caught:
        RuleSet.load(path)
    assert [fault.where for fault in caught.value.faults] == ["bad.jsonl:2", "bad.jsonl:3"]
    assert "secret" not in str(caught.value)


def test_bytes_that_are_not_utf8_are_a_fault(tmp_path):
    path = tmp_path / "latin.jsonl"
    path.write_bytes('{"id": "a", "pattern": "é", "label": "l", "origin": "o"}'.encode("latin1"))
    with pytest.raises(FaultyNotesError, match=r"latin\.jsonl:1: bytes that are not UTF-8"):
        RuleSet.load(path)


def test_a_missing_file_is_one_error(tmp_path):
    with pytest.raises(NoteError, match=r"no\.jsonl: no such file of rules"):
        RuleSet.load(tmp_path / "no.jsonl")


def test_sets_are_merged_in_order_and_their_losses_added():
    one = RuleSet((rule("a"),), {"short": 2})
    two = RuleSet((rule("b"),), {"short": 1, "rare": 3})
    both = one.merged(two)
    assert [r.pattern for r in both] == ["a", "b"]
    assert both.summary() == {"rules": 2, "without support": 2, "short": 3, "rare": 3}
    with pytest.raises(NoteError, match=r"1 rule ids occur more than once.*origin="):
        one.merged(one)


def test_tuning_judges_rules_side_by_side():
    notes = [marked("n", "a cancer, breast cancer, breast cancer", "cancer", "breast cancer")]
    alone = RuleSet((rule("cancer"),)).tuned(notes, min_precision=0.5)
    assert len(alone) == 0
    assert alone.pruned == {"imprecise": 1}
    together = RuleSet((rule("cancer"), rule("breast cancer"))).tuned(notes, min_precision=0.5)
    assert [(r.pattern, r.support, r.precision) for r in together] == [
        ("cancer", 1, 1.0),
        ("breast cancer", 2, 0.5),
    ]
    assert together.pruned == {}
