"""Each mention has one outcome; what was known in training is told from what was not."""

from __future__ import annotations

import pytest

from clinical_tl.evaluation.estimates import Bootstrap
from clinical_tl.evaluation.mention_errors import OUTCOMES, mention_errors
from clinical_tl.metrics.entities import entity_scores
from clinical_tl.schema import Note, Prediction, Span
from tests.evaluation.pages import entity_report

TEXT = "Aspirin 81 mg for chest pain and Fever."


def errors(gold, said, train=None):
    note, prediction = Note("n", TEXT, spans=tuple(gold)), Prediction("n", spans=tuple(said))
    return mention_errors([note], [prediction], Bootstrap([0], 5, 0.95, 0), train)


def counted(gold, said):
    found = errors(gold, said).by_label
    return {(label, name): n for label, row in found.items() for name, n in row.items() if n}


DRUG, PAIN = Span(0, 7, "Drug"), Span(18, 28, "Problem")


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (Span(18, 28, "Problem"), "right"),
        (Span(18, 28, "Drug"), "wrong type"),
        (Span(24, 28, "Problem"), "wrong border"),
        (Span(24, 32, "Drug"), "both wrong"),
    ],
)
def test_the_four_ways_to_meet_a_mention(said, outcome):
    assert counted([PAIN], [said]) == {("Problem", outcome): 1}


def test_what_meets_nothing_is_missed_or_spurious():
    assert counted([PAIN], [DRUG]) == {("Problem", "missed"): 1, ("Drug", "spurious"): 1}


def test_pairs_are_one_to_one_and_the_better_pair_goes_first():
    halves = [Span(18, 23, "Problem"), Span(24, 28, "Problem")]
    assert counted(halves, [PAIN]) == {("Problem", "wrong border"): 1, ("Problem", "missed"): 1}
    both = [Span(18, 28, "Drug"), Span(18, 28, "Problem")]
    assert counted([PAIN], both) == {("Problem", "right"): 1, ("Drug", "spurious"): 1}
    assert counted([PAIN, PAIN], [PAIN, PAIN]) == {
        ("Problem", "right"): 1,
        ("Problem", "spurious"): 1,
    }


def test_the_pieces_of_a_mention_are_its_borders():
    split = Span(18, 38, "Problem", fragments=((18, 23), (33, 38)))
    assert counted([split], [Span(18, 38, "Problem")]) == {("Problem", "wrong border"): 1}
    assert counted([split], [Span(24, 28, "Problem")]) == {
        ("Problem", "missed"): 1,
        ("Problem", "spurious"): 1,
    }


def test_right_is_what_the_scores_count_as_right():
    gold = [DRUG, PAIN, Span(33, 38, "Problem")]
    said = [Span(0, 13, "Drug"), PAIN, Span(33, 38, "Drug")]
    found = errors(gold, said)
    scores = entity_scores([gold], [said])
    table = found.table()
    assert table[-1]["label"] == "all"
    assert table[-1]["right"] / scores.gold == pytest.approx(scores.recall)
    assert sum(table[-1][name] for name in OUTCOMES) - table[-1]["spurious"] == scores.gold
    assert found.taken_for == (("Problem", "Drug", 1),)


def test_mentions_that_training_had_are_told_from_new_ones():
    train = [Note("t", "CHEST\npain, aspirin", spans=(Span(0, 10, "Other"),))]
    seen, new = errors([DRUG, PAIN], [PAIN], train).novelty
    assert (seen.kind, seen.mentions, seen.found) == ("seen in training", 1, 1)
    assert (new.kind, new.mentions, new.found, new.share.value) == ("new", 1, 0, 0.0)
    assert errors([DRUG], [DRUG]).novelty == ()
    none, _ = errors([DRUG], [DRUG], train).novelty
    assert none.row()["recall"] is None


def test_a_report_has_them_with_intervals():
    report = entity_report(40)
    rows = report.mentions.table()
    assert rows[-1]["right"] == sum(row["tp"] for row in report.labels)
    for recall in report.mentions.novelty:
        assert recall.share.low <= recall.share.value <= recall.share.high
        assert recall.share.value == pytest.approx(recall.found / recall.mentions)
