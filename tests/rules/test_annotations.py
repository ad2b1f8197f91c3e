import logging

import pytest

from clinical_tl.data.notes import Notes
from clinical_tl.errors import ConfigError, TaskError
from clinical_tl.rules.annotations import from_annotations
from clinical_tl.schema import Note, Span
from tests.rules.lexicons import marked


def test_mentions_become_rules_with_what_they_reach():
    notes = [
        marked("1", "Ague. Then ague again", "Ague", "ague"),
        marked("2", "ague and gout", "gout"),
    ]
    rules = from_annotations(notes, origin="src")
    assert [(r.id, r.pattern, r.label, r.origin, r.support, r.precision) for r in rules] == [
        ("src:1", "Ague", "Problem", "src", 3, 2 / 3),
        ("src:2", "gout", "Problem", "src", 1, 1.0),
    ]
    assert rules.rules[0].concepts == ("C-ague",)
    assert rules == from_annotations(Notes(notes), origin="src")
    assert rules == from_annotations(notes[::-1], origin="src")


def test_the_most_frequent_label_form_and_concepts_are_taken():
    notes = [
        Note("1", "Ague", spans=(Span(0, 4, "B", concepts=("2",)),)),
        Note("2", "ague", spans=(Span(0, 4, "C", concepts=("1",)),)),
        Note("3", "ague", spans=(Span(0, 4, "C", concepts=("2",)),)),
    ]
    (rule,) = from_annotations(notes)
    assert (rule.pattern, rule.label, rule.concepts) == ("ague", "C", ("2",))
    assert (rule.support, rule.precision) == (3, 2 / 3)


def test_whatever_becomes_no_rule_is_counted(caplog):
    text = "ague gout pregout scurvy scurvy scurvy lung cancer cell"
    at = text.index
    spans = (
        Span(0, 17, "P", fragments=((0, 4), (10, 17))),
        Span(at("pregout") + 3, at("pregout") + 7, "P"),
        Span(at("scurvy"), at("scurvy") + 6, "P"),
        Span(at("cancer"), at("cancer") + 6, "P"),
        Span(at("lung"), at("lung") + 16, "P"),
        Span(at("ague"), at("ague") + 4, "Other"),
    )
    with caplog.at_level(logging.INFO):
        rules = from_annotations([Note("1", text, spans=spans)], labels=["P"])
    assert [rule.pattern for rule in rules] == ["lung cancer cell"]
    assert rules.pruned == {
        "discontinuous": 1,
        "imprecise": 1,
        "inside a word": 1,
        "never fire": 1,
    }
    assert "1 rules" in caplog.text
    assert "scurvy" not in caplog.text
    rare = from_annotations([marked("1", "ague ague gout", "ague", "ague", "gout")], min_support=2)
    assert [rule.pattern for rule in rare] == ["ague"]
    assert rare.pruned == {"rare": 1}


def test_a_short_rule_waits_for_the_long_one_to_fall():
    breast = "has breast cancer now"
    notes = [Note(str(i), breast, spans=(Span(11, 17, "P"),)) for i in range(4)]
    notes.append(Note("4", breast, spans=(Span(4, 17, "P"),)))
    whole = from_annotations(notes, tune=False)
    assert {(r.pattern, r.support, r.precision) for r in whole} == {
        ("cancer", 0, None),
        ("breast cancer", 0, None),
    }
    (kept,) = whole.tuned(notes, min_precision=0.5)
    assert (kept.pattern, kept.support, kept.precision) == ("cancer", 5, 0.8)
    (at_once,) = from_annotations(notes)
    assert at_once == kept


def test_abbreviations_heed_case():
    notes = [marked("1", "WAS was treated, as it was", "WAS")]
    (rule,) = from_annotations(notes)
    assert rule.match_case
    assert (rule.support, rule.precision) == (1, 1.0)


def test_unknown_labels_and_notes_without_mentions_are_refused():
    notes = [marked("1", "ague", "ague")]
    with pytest.raises(ConfigError, match=r"labels \['Drug'\].*choose from \['Problem'\]"):
        from_annotations(notes, labels=["Drug"])
    with pytest.raises(ConfigError, match="a single string"):
        from_annotations(notes, labels="Problem")
    with pytest.raises(TaskError, match="there are no notes"):
        from_annotations([])
    with pytest.raises(TaskError, match="no mention to compile"):
        from_annotations([Note("1", "ague", spans=())])
    with pytest.raises(TaskError, match="1 of 1 have no annotated spans"):
        from_annotations([Note("1", "ague")])
