import subprocess
import sys
from dataclasses import fields, replace

import pytest

from clinical_tl.rules.rule import Rule
from clinical_tl.rules.rule_set import RuleSet
from clinical_tl.schema import LabelSet, Note, Prediction, Relation, ScoredRelation, Span
from clinical_tl.transfer.matching import LabelMatching, LabelPair, NoteMatching

SECRET = "Zebrafinch"
TEXT = f"Admitted with {SECRET} syndrome"
SPAN = Span(0, 8, TEXT, TEXT, (TEXT,), ((TEXT, TEXT),), ((0, 2), (4, 8)))
NOTE = Note(
    TEXT, SECRET, SECRET, TEXT, (TEXT,), (SPAN,), (Relation(TEXT, TEXT, TEXT),), {SECRET: SECRET}
)
RULE = Rule("lexicon:1", SECRET, TEXT, TEXT)
RECORDS = [
    NOTE,
    SPAN,
    Relation(TEXT, TEXT, TEXT),
    ScoredRelation(TEXT, TEXT, TEXT, 0.5),
    Prediction(TEXT, TEXT, (TEXT,), (SPAN,), {TEXT: 1.0}, {TEXT: (SPAN,)}),
    LabelSet((TEXT,), (1,)),
    RULE,
    RuleSet((RULE,)),
    NoteMatching((NOTE,), (TEXT,)),
    LabelMatching((LabelPair(TEXT, TEXT, 0.1, accepted=True),), (TEXT,), 1.0),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_no_record_shows_text(record):
    assert SECRET not in repr(record)
    assert SECRET not in f"{[record]} {record}"


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_records_are_compared_by_every_field(record):
    same = replace(record)
    assert same == record
    assert record != TEXT
    for field in fields(record):
        if not field.compare or isinstance(record, LabelSet | Rule | RuleSet | Span):
            continue
        assert replace(record, **{field.name: "another"}) != record


def test_numbers_counts_and_names_are_shown():
    assert repr(Span(3, 7, "Disease", score=0.5)) == (
        "Span(start=3, end=7, label='Disease', id='', concepts=<0>, attributes=<0>, "
        "fragments=<0>, score=0.5)"
    )
    assert repr(Note("n1", "Fever", "p1", spans=())) == (
        "Note(note_id='n1', text=<5 characters>, patient_id=<2 characters>, label=None, "
        "codes=None, spans=<0>, relations=None, metadata=<0>)"
    )


def test_equal_spans_have_one_hash():
    assert len({Span(0, 1, "a"), Span(0, 1, "a"), Span(0, 1, "b")}) == 2


def test_a_failing_assertion_shows_no_note(tmp_path):
    file = tmp_path / "test_it.py"
    file.write_text(
        f"""
from clinical_tl.schema import Note
from clinical_tl.rules.rule import Rule

TEXT = "{TEXT}"
ONE, OTHER = Note("1", TEXT), Note("1", TEXT + "s", TEXT)
THIRD = Note("1", "a", metadata={{TEXT: 1}})
RULES = [Rule("a:1", TEXT, "x", "a"), Rule("a:1", TEXT + "s", "x", "a")]

def test_notes():
    assert ONE == OTHER

def test_lists():
    assert [ONE, ONE] == [ONE, THIRD]

def test_rules():
    assert RULES[0] == RULES[1]
""",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "pytest", "-vv", "--tb=short", "-p", "no:cacheprovider", file]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    assert "3 failed" in said
    assert SECRET not in said
