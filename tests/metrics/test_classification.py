import warnings

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    matthews_corrcoef,
    precision_recall_fscore_support,
    roc_auc_score,
)

from clinical_tl.errors import TaskError
from clinical_tl.metrics.classification import UNDECIDED
from clinical_tl.metrics.classification import classification_scores as scores_of

LABELS = ("cardiology", "neurology", "surgery", "urology")


def classification_scores(gold, probabilities, labels):
    """Scores of the likeliest labels."""
    predicted = [labels[int(np.argmax(row))] for row in probabilities]
    return scores_of(gold, predicted, labels, probabilities)


def example(seed=0, notes=60, labels=LABELS):
    random = np.random.default_rng(seed)
    gold = [labels[i] for i in random.choice(len(labels), notes, p=[0.6, 0.2, 0.15, 0.05])]
    logits = random.normal(size=(notes, len(labels)))
    logits[np.arange(notes), [labels.index(label) for label in gold]] += 1
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    predicted = [labels[i] for i in probabilities.argmax(axis=1)]
    return gold, probabilities, predicted


@pytest.mark.parametrize("seed", range(4))
def test_equal_to_scikit_learn(seed):
    gold, probabilities, predicted = example(seed)
    scores = classification_scores(gold, probabilities, LABELS)
    assert set(gold) == set(LABELS)
    assert scores.accuracy == accuracy_score(gold, predicted)
    assert scores.macro_f1 == pytest.approx(f1_score(gold, predicted, average="macro"), abs=1e-12)
    assert scores.weighted_f1 == pytest.approx(
        f1_score(gold, predicted, average="weighted"), abs=1e-12
    )
    assert scores.mcc == pytest.approx(matthews_corrcoef(gold, predicted), abs=1e-12)
    assert scores.auroc_ovr == pytest.approx(
        roc_auc_score(gold, probabilities, multi_class="ovr", average="macro", labels=LABELS),
        abs=1e-12,
    )
    assert scores.auroc_labels == 4
    assert np.array_equal(scores.confusion, confusion_matrix(gold, predicted, labels=LABELS))
    for row, name, p, r, f, n in zip(
        scores.per_label,
        LABELS,
        *precision_recall_fscore_support(gold, predicted, labels=LABELS, zero_division=0),
        strict=True,
    ):
        assert (row.label, row.support) == (name, n)
        assert (row.precision, row.recall, row.f1) == pytest.approx((p, r, f), abs=1e-12)


def test_a_case_by_hand():
    probabilities = [[0.7, 0.3], [0.4, 0.6], [0.8, 0.2], [0.9, 0.1]]
    scores = classification_scores(["a", "b", "b", "a"], probabilities, ["a", "b"])
    assert scores.accuracy == 0.75
    # a: P 2/3, R 1, F1 0.8; b: P 1, R 1/2, F1 2/3.
    assert scores.macro_f1 == pytest.approx((0.8 + 2 / 3) / 2)
    assert scores.confusion == ((2, 0), (1, 1))
    # One-vs-rest for a: of the pairs (0.7, 0.9) x (0.4, 0.8), 3 of 4; b mirrors it.
    assert scores.auroc_ovr == 0.75
    assert scores.mcc == pytest.approx(2 * 1 / (2 * 2 * 3 * 1) ** 0.5)


def test_gold_labels_unknown_to_the_model_are_errors_and_counted():
    gold, probabilities, predicted = example()
    gold = [*gold, "psychiatry", "psychiatry", "oncology"]
    probabilities = np.vstack([probabilities, probabilities[:3]])
    predicted = [*predicted, *predicted[:3]]
    scores = classification_scores(gold, probabilities, LABELS)
    assert scores.unknown_gold == 3
    assert scores.confusion_labels == (*LABELS, "oncology", "psychiatry")
    assert scores.accuracy == accuracy_score(gold, predicted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        macro = f1_score(gold, predicted, average="macro")
        weighted = f1_score(gold, predicted, average="weighted")
        mcc = matthews_corrcoef(gold, predicted)
    assert scores.macro_f1 == pytest.approx(macro, abs=1e-12)
    assert scores.weighted_f1 == pytest.approx(weighted, abs=1e-12)
    assert scores.mcc == pytest.approx(mcc, abs=1e-12)
    assert scores.per_label[-1].row()["support"] == 2
    assert scores.per_label[-1].f1 == 0
    assert sum(map(sum, scores.confusion)) == 63


def test_macro_f1_is_over_labels_in_gold_or_predicted():
    scores = classification_scores(["a", "b"], [[0.9, 0.1, 0.0], [0.1, 0.0, 0.9]], ["a", "b", "c"])
    # a 1, b (missed) 0, c (predicted, never gold) 0.
    assert scores.macro_f1 == pytest.approx(1 / 3)
    scores = classification_scores(["a", "b"], [[0.9, 0.1, 0.0], [0.1, 0.9, 0.0]], ["a", "b", "c"])
    assert scores.macro_f1 == 1
    assert [row.label for row in scores.per_label] == ["a", "b"]


def test_auroc_skips_labels_with_one_class_and_is_none_without_any():
    probabilities = [[0.6, 0.3, 0.1], [0.3, 0.6, 0.1], [0.5, 0.4, 0.1]]
    scores = classification_scores(["a", "b", "a"], probabilities, ["a", "b", "c"])
    assert (scores.auroc_ovr, scores.auroc_labels) == (1.0, 2)
    alone = classification_scores(["a", "a"], [[0.9, 0.1], [0.2, 0.8]], ["a", "b"])
    assert alone.auroc_ovr is None
    assert "auroc_ovr" not in alone.summary()
    assert alone.mcc == 0


def test_summary_is_flat_and_complete():
    gold, probabilities, _ = example()
    summary = classification_scores(gold, probabilities, LABELS).summary()
    assert list(summary) == [
        "accuracy",
        "macro_f1",
        "weighted_f1",
        "mcc",
        "auroc_ovr",
        "notes",
        "unknown_gold",
        "undecided",
    ]
    assert all(isinstance(value, int | float) for value in summary.values())


@pytest.mark.parametrize(
    ("gold", "probabilities", "labels", "message"),
    [
        (["a"], [[0.5, 0.5], [0.5, 0.5]], ["a", "b"], "gold has 1 notes, the predictions 2"),
        (["a"], [[0.5, 0.5, 0]], ["a", "b"], r"shape \(1, 3\); allowed: \(1, 2\)"),
        ([], np.zeros((0, 2)), ["a", "b"], "no notes to score"),
        (
            ["a", None],
            [[0.5, 0.5]] * 2,
            ["a", "b"],
            "1 notes have no label, the first at position 1",
        ),
        (["a"], [[2.0, -1.0]], ["a", "b"], "allowed: 0 to 1"),
        (["a"], [[0.5, 0.5]], ["a", "a"], "each once"),
    ],
)
def test_bad_input_is_refused(gold, probabilities, labels, message):
    with pytest.raises(TaskError, match=message):
        classification_scores(gold, probabilities, labels)


def test_what_was_decided_is_scored_and_auroc_is_the_probabilities_own():
    gold, probabilities, predicted = example(2)
    model = scores_of(gold, predicted, LABELS, probabilities)
    corrected = scores_of(gold, gold, LABELS, probabilities)
    assert (corrected.accuracy, corrected.macro_f1, corrected.mcc) == (1, 1, 1)
    assert corrected.auroc_ovr == model.auroc_ovr
    bare = scores_of(gold, predicted, LABELS)
    assert (bare.auroc_ovr, bare.auroc_labels, bare.accuracy) == (None, 0, model.accuracy)


def test_a_note_without_a_label_is_an_error_and_no_label_of_its_own():
    gold, _, predicted = example(1)
    predicted = [None if i % 7 == 0 else label for i, label in enumerate(predicted)]
    filled = [label or UNDECIDED for label in predicted]
    scores = scores_of(gold, predicted, LABELS)
    settings = {"labels": LABELS, "average": "macro", "zero_division": 0}
    assert scores.undecided == 9
    assert scores.accuracy == accuracy_score(gold, filled)
    assert scores.macro_f1 == pytest.approx(f1_score(gold, filled, **settings), abs=1e-12)
    assert scores.mcc == pytest.approx(matthews_corrcoef(gold, filled), abs=1e-12)
    order = [*LABELS, UNDECIDED]
    assert scores.confusion_labels == tuple(order)
    assert np.array_equal(scores.confusion, confusion_matrix(gold, filled, labels=order))
    assert [row.label for row in scores.per_label] == list(LABELS)


def test_a_label_that_is_not_the_models_is_scored_as_said():
    scores = scores_of(["a", "new", "b"], ["a", "new", "strange"], ["a", "b"])
    assert scores.accuracy == 2 / 3
    assert scores.confusion_labels == ("a", "b", "new", "strange")
    assert scores.macro_f1 == pytest.approx((1 + 0 + 1 + 0) / 4)
