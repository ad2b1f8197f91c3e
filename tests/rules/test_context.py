import pytest
from spacy.tokens import Doc

from clinical_tl.data.synthetic import generate_notes
from clinical_tl.errors import ConfigError
from clinical_tl.rules.context import Context
from clinical_tl.rules.matcher import RuleMatcher, lower_case_vocab
from clinical_tl.rules.measures import split_units
from clinical_tl.rules.triggers import MEANINGS, terminations, triggers
from tests.rules.lexicons import rule

MATCHER = RuleMatcher([rule(name) for name in ("ague", "gout", "no-reflow ague", "scurvy")])


def said(text):
    """What is said of each mention, in order, meanings joined by blanks."""
    return [
        " ".join(name for name, value in span.attributes if name in MEANINGS and value == "true")
        for span in MATCHER.spans(text)
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Has ague.", [""]),
        ("No ague.", ["negation"]),
        ("Denies ague, gout or scurvy.", ["negation"] * 3),
        ("NO EVIDENCE OF AGUE", ["negation"]),
        ("Ague was ruled out, gout remains.", ["negation", ""]),
        ("No ague. Gout.", ["negation", ""]),
        ("No ague but gout.", ["negation", ""]),
        ("No ague; gout.", ["negation", ""]),
        ("Scan was negative for ague and showed gout", ["negation", "negation"]),
        ("Gout; the scan was negative for ague.", ["", "negation"]),
        ("No change in ague.", [""]),
        ("Gram negative ague.", [""]),
        ("No-reflow ague and gout.", ["", ""]),
        ("Denies; ague.", [""]),
        ("Denies that he has ague.", ["negation"]),
        ("No pain\nAgue", [""]),
        ("No pain,\nague", ["negation"]),
        ("No fever in Dr. Gout", ["negation"]),
        ("Possible ague.", ["possible"]),
        ("Ague cannot be excluded.", ["possible"]),
        ("Cannot rule out ague.", ["possible"]),
        ("History of ague.", ["historical"]),
        ("No history of ague.", ["negation"]),
        ("Ague 3 years ago, now gout.", ["historical", ""]),
        ("Ague three days ago.", [""]),
        ("Ague in 2009.", ["historical"]),
        ("History of present illness: ague", [""]),
        ("Prior ague, presents with gout.", ["historical", ""]),
        ("Return if ague.", ["hypothetical"]),
        ("At risk for ague.", ["hypothetical"]),
        ("Mother had ague.", ["family"]),
        ("Gout; ague in her older sister", ["", ""]),
        ("Gout; ague in her sister", ["", "family"]),
        ("Has gout and her sister ague", ["", "family"]),
        ("Mother has ague, patient has gout.", ["family", ""]),
        ("Mother reports ague.", [""]),
        ("No family history of ague.", ["negation family"]),
        ("Family history:\nague\nno gout\n\nscurvy", ["family", "negation family", ""]),
        ("FH: ague.\nSocial history: gout", ["family", ""]),
        ("Past medical history: ague", [""]),
        # What stands beside speaks of what it stands beside.
        ("Ague absent, gout present.", ["negation", ""]),
        ("Absent ague.", ["negation"]),
        ("Has gout, ague and scurvy absent.", ["negation"] * 3),
        ("Gout present, ague absent.", ["", "negation"]),
        ("Ague ruled out, gout confirmed.", ["negation", ""]),
        ("Scan ruled out ague.", ["negation"]),
        ("Ague excluded.", ["negation"]),
        ("Ague not excluded.", ["possible"]),
        ("Ague?", ["possible"]),
        ("? Ague", ["possible"]),
        ("Dx: ? Gout. Ague.", ["possible", ""]),
        ("Better? Ague.", [""]),
        # Line ends of every system.
        ("Family history:\r\nague\r\n\r\nscurvy", ["family", ""]),
        ("Denies pain\r\n\r\nague present", [""]),
        ("No pain\r\nAgue", [""]),
        # A family section ends where the next one begins, however that is written.
        ("Family history: ague. Assessment: gout.", ["family", ""]),
        ("Family hx: ague\nsocial hx: drinks; gout\nplan: scurvy", ["family", "", ""]),
        ("Family history:\nmother: ague\nFather: gout", ["family", "family"]),
    ],
)
def test_what_is_said_of_mentions(text, expected):
    assert said(text) == expected


def context_of(text, mention, **options):
    vocab = lower_case_vocab()
    units = split_units(text)
    first = units.words.index(mention)
    doc = Doc(vocab, words=units.words)
    return Context(vocab, **options).attributes(text, units, doc, [(first, first + 1)])


def test_a_scope_can_be_bounded_in_units():
    text = "no a b c ague"
    assert context_of(text, "ague", max_units=4) == [(("negation", "true"),)]
    assert context_of(text, "ague", max_units=3) == [()]
    assert context_of("ague a b was ruled out", "ague", max_units=3) == [(("negation", "true"),)]
    assert context_of("ague a b was ruled out", "ague", max_units=2) == [()]
    with pytest.raises(ConfigError, match="max_units is 0; allowed: 1 or more"):
        context_of(text, "ague", max_units=0)


def test_no_phrase_is_both_a_trigger_and_its_own_end():
    ends = dict(terminations())
    assert ";" in ends
    assert all(trigger.phrase for trigger in triggers())
    clashes = [t.phrase for t in triggers() if t.meaning in ends.get(t.phrase, ())]
    assert clashes == []
    pseudo = {t.phrase for t in triggers() if t.meaning is None}
    assert pseudo.isdisjoint(t.phrase for t in triggers() if t.meaning)


def test_assertions_of_synthetic_notes_are_mostly_found():
    """A check on language not written for these triggers; the templates are few, though."""
    meanings = {"negated": "negation", **{m: m for m in ("possible", "historical", "family")}}
    vocab = lower_case_vocab()
    context = Context(vocab)
    right = given = claimed = 0
    for note in list(generate_notes(60, seed=11)):
        units = split_units(note.text)
        asserted = [s for s in note.spans if "assertion" in dict(s.attributes)]
        places = [(units.starts.index(s.start), units.ends.index(s.end) + 1) for s in asserted]
        doc = Doc(vocab, words=units.words)
        for span, found in zip(
            asserted, context.attributes(note.text, units, doc, places), strict=True
        ):
            gold = meanings.get(dict(span.attributes)["assertion"])
            names = {name for name, _ in found}
            given += gold is not None
            # A relative's illness may well lie in the past; the gold names one of the two.
            claimed += bool(names)
            right += gold in names
    assert given > 200
    assert right / given > 0.85
    assert right / claimed > 0.9
