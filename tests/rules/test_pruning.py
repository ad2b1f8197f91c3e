import pytest

from clinical_tl.errors import ConfigError, TaskError
from clinical_tl.rules.pruning import prune
from clinical_tl.schema import Note, Span
from tests.rules.lexicons import marked, rule


def kept(rules, notes, *, min_precision=0.5, min_support=1):
    judged, fallen = prune(rules, notes, min_precision=min_precision, min_support=min_support)
    assert fallen == len(rules) - len(judged)
    return {r.pattern: (r.support, r.precision) for r in judged}


NOTES = [
    marked("1", "ague here, ague there, ague", "ague"),
    marked("2", "no gout", "gout"),
    Note("3", "gout scurvy", spans=()),
]


def test_precision_is_counted_over_whole_words_and_exact_mentions():
    rules = [rule("ague"), rule("gout"), rule("scurvy"), rule("plague")]
    assert kept(rules, NOTES, min_precision=0.0) == {
        "ague": (3, 1 / 3),
        "gout": (2, 0.5),
        "scurvy": (1, 0.0),
        "plague": (0, None),
    }
    assert kept(rules, NOTES) == {"gout": (2, 0.5), "plague": (0, None)}
    assert kept(rules, NOTES, min_support=2) == {
        "gout": (2, 0.5),
        "scurvy": (1, 0.0),
        "plague": (0, None),
    }


def test_another_label_or_a_part_of_a_mention_is_not_right():
    notes = [marked("1", "gouty arthritis", "gouty arthritis")]
    assert kept([rule("arthritis")], notes) == {}
    assert kept([rule("gouty arthritis", "Drug")], notes) == {}
    pieces = Note("2", "arm pain", spans=(Span(0, 8, "Problem", fragments=((0, 1), (4, 8))),))
    assert kept([rule("arm pain")], [pieces]) == {}


def test_a_pruned_rule_frees_the_text_for_shorter_ones_which_are_judged_anew():
    notes = [
        marked("1", "lung cancer", "cancer"),
        marked("2", "lung cancer", "cancer"),
        Note("3", "lung cancer cell", spans=()),
    ]
    rules = [rule("lung cancer"), rule("cancer"), rule("lung cancer cell")]
    assert kept(rules, notes) == {"cancer": (3, 2 / 3)}
    # Freed in turn, the shorter one may fall as well.
    assert kept(rules, notes, min_precision=0.7) == {}


@pytest.mark.parametrize(("precision", "support"), [(-0.1, 1), (1.1, 1), (0.5, 0)])
def test_settings_out_of_range_are_refused(precision, support):
    with pytest.raises(ConfigError, match="allowed: 0 to 1, and 1 or more"):
        kept([rule("ague")], NOTES, min_precision=precision, min_support=support)


@pytest.mark.parametrize(
    ("notes", "message"),
    [([], "there are no notes"), ([Note("n9", "ague")], "1 of 1 have no annotated spans")],
)
def test_notes_must_be_annotated(notes, message):
    with pytest.raises(TaskError, match=message):
        kept([rule("ague")], notes)
