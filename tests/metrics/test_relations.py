import pytest
from sklearn.metrics import f1_score, precision_score, recall_score

from clinical_tl.errors import TaskError
from clinical_tl.metrics.relations import relation_scores
from clinical_tl.schema import Relation, ScoredRelation


def related(*relations):
    return [Relation(*relation.split()) for relation in relations]


def test_counts_by_hand():
    gold = [related("a b X", "a c Y", "a b X"), related("a b X"), []]
    predicted = [
        [ScoredRelation("a", "b", "X", 0.9), ScoredRelation("c", "a", "Y", 0.8)],
        related("a b X", "a b X"),
        related("a b Y"),
    ]
    scores = relation_scores(gold, predicted, lost=1)
    # X: found in notes 1 and 2, one copy; Y: the turned pair and note 3 wrong, one missed.
    counts = [(s.label, s.tp, s.fp, s.fn) for s in scores.per_label]
    assert counts == [("X", 2, 1, 0), ("Y", 0, 2, 1)]
    assert (scores.precision, scores.recall) == (2 / 5, 2 / 3)
    assert scores.f1 == 4 / 8
    assert scores.macro_f1 == (4 / 5 + 0) / 2
    assert (scores.gold, scores.predicted, scores.duplicate_gold) == (3, 5, 1)
    assert (scores.lost, scores.share_lost) == (1, 1 / 4)
    assert scores.summary()["f1"] == scores.f1


def test_one_relation_a_note_scores_as_scikit_learn():
    gold = ["X", "Y", "Y", "Z", "X", "Z", "Z"]
    guess = ["X", "Y", "Z", "Z", "Y", "Z", "X"]
    scores = relation_scores(
        [related(f"a b {label}") for label in gold], [related(f"a b {label}") for label in guess]
    )
    assert scores.f1 == pytest.approx(f1_score(gold, guess, average="micro"))
    assert scores.macro_f1 == pytest.approx(f1_score(gold, guess, average="macro"))
    precision = precision_score(gold, guess, average=None)
    recall = recall_score(gold, guess, average=None)
    assert [s.precision for s in scores.per_label] == pytest.approx(list(precision))
    assert [s.recall for s in scores.per_label] == pytest.approx(list(recall))


def test_groups_replace_labels_and_leave_out_the_rest():
    gold = [related("a b up", "a c other"), related("a b down")]
    predicted = [related("a b more", "a c other"), related("a b up", "a c other")]
    scores = relation_scores(gold, predicted, groups={"up": "G3", "more": "G3", "down": "G4"})
    assert [(s.label, s.tp, s.fp, s.fn) for s in scores.per_label] == [
        ("G3", 1, 1, 0),
        ("G4", 0, 0, 1),
    ]


def test_misuse_is_refused():
    with pytest.raises(TaskError, match="gold has 1 notes, the predictions 2"):
        relation_scores([[]], [[], []])
    with pytest.raises(TaskError, match="there are no notes"):
        relation_scores([], [])
    with pytest.raises(TaskError, match="lost is 2; allowed: 0 to 1"):
        relation_scores([related("a b X")], [[]], lost=2)
