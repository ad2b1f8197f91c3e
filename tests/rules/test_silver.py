import logging

import pytest

from clinical_tl.data.notes import Notes
from clinical_tl.errors import ConfigError, NoteError
from clinical_tl.rules.rule_set import RuleSet
from clinical_tl.rules.silver import label_notes
from clinical_tl.schema import Note
from tests.rules.lexicons import found, rule

RULES = RuleSet(
    (
        rule("ague", precision=0.9, support=10, concepts=("D1",)),
        rule("gout", precision=0.4, support=5),
        rule("scurvy"),
    )
)
NOTES = [
    Note("1", "No ague.", patient_id="p", metadata={"site": "x"}),
    Note("2", "gout"),
    Note("3", "scurvy"),
    Note("4", "well"),
]


def test_silver_notes_say_where_their_mentions_come_from():
    silver = list(label_notes(Notes(NOTES), RULES))
    assert [found(note, note.spans) for note in silver] == [["ague"], ["gout"], ["scurvy"], []]
    (span,) = silver[0].spans
    assert span.attributes == (
        ("source", "rules"),
        ("rule", "t:ague:Problem"),
        ("negation", "true"),
    )
    assert (span.score, span.concepts) == (0.9, ("D1",))
    assert (silver[0].patient_id, silver[0].metadata) == ("p", {"site": "x"})


def test_weak_rules_and_empty_notes_can_be_left_out_and_are_counted(caplog):
    with caplog.at_level(logging.WARNING):
        silver = label_notes(NOTES, RULES, min_precision=0.5, drop_empty=True)
    assert silver["note_id"] == ["1"]
    assert "1 mentions in 1 notes; 3 notes without any were left out" in caplog.text
    assert "2 of 3 rules were left out" in caplog.text
    some = list(label_notes(NOTES, RULES, min_precision=0.4))
    assert [found(note, note.spans) for note in some] == [["ague"], ["gout"], [], []]


def test_gold_is_never_overwritten():
    with pytest.raises(NoteError, match=r"1 of 5 notes have annotated spans, e.g. \['g'\]"):
        label_notes([*NOTES, Note("g", "ague", spans=())], RULES)
    with pytest.raises(ConfigError, match="min_precision is 2"):
        label_notes(NOTES, RULES, min_precision=2)
