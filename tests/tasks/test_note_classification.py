import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from clinical_tl.errors import ConfigError, TaskError
from clinical_tl.schema import LabelScores, LabelSet, Note, Prediction
from clinical_tl.tasks.abilities import dev_metrics
from clinical_tl.tasks.losses import pool_windows
from clinical_tl.tasks.note_classification import NoteClassification

NOTES = [Note(str(i), "text", label=label) for i, label in enumerate("aaab")]


@pytest.mark.parametrize(
    ("pooling", "expected"), [("mean", [[2.0, 1.0], [5.0, 7.0]]), ("max", [[3.0, 2.0], [5.0, 7.0]])]
)
def test_windows_are_pooled_to_notes(pooling, expected):
    logits = torch.tensor([[1.0, 2.0], [3.0, 0.0], [5.0, 7.0]])
    pooled = pool_windows(logits, torch.tensor([0, 0, 1]), 2, pooling)
    assert pooled.tolist() == expected


def test_balanced_weights_are_inverse_frequencies_with_mean_one_over_notes():
    task = NoteClassification.from_notes(NOTES, class_weights="balanced")
    assert task.class_weights == (4 / 6, 2.0)
    task = NoteClassification.from_notes(NOTES, class_weights={"a": 1.0, "b": 5.0})
    assert task.class_weights == (0.5, 2.5)


def test_a_class_weight_multiplies_the_loss():
    task = NoteClassification.from_notes(NOTES, class_weights="balanced")
    plain = NoteClassification.from_notes(NOTES)
    logits, gold = torch.tensor([[0.3, -0.2], [0.1, 0.9]]), torch.tensor([0, 1])
    ratio = task.losses(logits, gold) / plain.losses(logits, gold)
    torch.testing.assert_close(ratio, torch.tensor([4 / 6, 2.0]))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])
def test_weighted_smoothed_loss_is_torchs(smoothing):
    task = NoteClassification(LabelSet(("a", "b", "c"), (5, 2, 1)), class_weights=(0.5, 1.5, 2.0))
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    gold = torch.tensor([0, 0, 1, 2, 0, 1])
    weight = sum(task.weight(int(column), 0, 0) for column in gold)
    ours = task.losses(logits, gold, label_smoothing=smoothing).sum() / weight
    expected = torch.nn.functional.cross_entropy(
        logits, gold, weight=torch.tensor(task.class_weights), label_smoothing=smoothing
    )
    torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("weights", [{"a": 1.0}, {"a": 1.0, "b": 1.0, "c": 1.0}, "inverse", [1, 2]])
def test_weights_must_name_the_labels(weights):
    with pytest.raises(TaskError, match="name exactly the training labels"):
        NoteClassification.from_notes(NOTES, class_weights=weights)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf"), "2", None, True])
def test_a_weight_that_is_no_positive_number_is_refused(weight):
    with pytest.raises(ConfigError, match="allowed: a number above 0 and finite"):
        NoteClassification.from_notes(NOTES, class_weights={"a": weight, "b": 1.0})
    labels = LabelSet(("a", "b"), (3, 1))
    with pytest.raises(ConfigError, match="allowed: a number above 0 and finite"):
        NoteClassification(labels, class_weights=(1.0, weight))
    with pytest.raises(ConfigError, match="1 numbers for 2 labels"):
        NoteClassification(labels, class_weights=(1.0,))


def test_one_label_is_no_task():
    with pytest.raises(TaskError, match="one label only"):
        NoteClassification.from_notes(NOTES[:2])


def test_labels_with_a_single_note_are_named_in_a_warning(caplog):
    with caplog.at_level(logging.WARNING):
        NoteClassification.from_notes(NOTES)
    assert "1 of 2 labels have a single training note" in caplog.text


def test_an_unknown_gold_label_counts_as_an_error():
    task = NoteClassification.from_notes(NOTES)
    scores = LabelScores(task.labels.names, np.array([0.9, 0.1], dtype=np.float32))
    predictions = [Prediction(n, "a", scores=scores) for n in ("x", "y")]
    result = task.evaluate([Note("x", "t", label="a"), Note("y", "t", label="new")], predictions)
    assert result.accuracy == 0.5
    assert result.summary()["unknown_gold"] == 1


def test_what_was_saved_before_tokens_were_pooled_has_the_stock_head():
    task = NoteClassification.from_notes(NOTES, pooling="stock", window_pooling="max")
    row = {**task.untuned().to_dict(), "pooling": "max"}
    del row["window_pooling"]
    assert NoteClassification.from_dict(row) == task
    assert NoteClassification.from_dict(task.to_dict()) == task


def test_weights_that_are_to_be_chosen_are_chosen_by_frequency():
    task = NoteClassification.from_notes(NOTES)
    assert (task.chooses_weights, task.loss_weights(), task.balance) == (True, None, None)
    expected = np.array([3**-0.5, 1.0]) / ((3 * 3**-0.5 + 1.0) / 4)
    for balance in ("balanced", "sqrt", None):
        settled = task.weighted(balance)
        assert settled == NoteClassification.from_notes(NOTES, class_weights=balance)
        assert (settled.chooses_weights, settled.balance) == (False, balance)
    np.testing.assert_allclose(task.weighted("sqrt").class_weights, expected)
    own = NoteClassification.from_notes(NOTES, class_weights={"a": 1.0, "b": 7.0})
    assert own.balance == "own"


def test_an_unknown_pooling_is_refused():
    with pytest.raises(ConfigError, match="auto, mean, max, cls, stock"):
        NoteClassification.from_notes(NOTES, pooling="median")


def probable(task, note_id, label):
    row = np.where(np.array(task.labels.names) == label, 0.9, 0.1).astype(np.float32)
    return task.predicted(note_id, row)


def test_a_corrected_label_is_what_is_scored():
    task = NoteClassification.from_notes(NOTES)
    notes = [Note("x", "t", label="b"), Note("y", "t", label="a")]
    said = [probable(task, "x", "a"), probable(task, "y", "a")]
    assert task.evaluate(notes, said).accuracy == 0.5
    corrected = [replace(said[0], label="b"), said[1]]
    scores = task.evaluate(notes, corrected)
    assert (scores.accuracy, scores.macro_f1) == (1, 1)
    assert scores.auroc_ovr == task.evaluate(notes, said).auroc_ovr
    figures = task.note_counts(notes, corrected).figures(np.ones((1, 2)))
    assert figures["accuracy"] == [1]


def test_labels_without_scores_are_scored_and_a_mixture_is_said(caplog):
    task = NoteClassification.from_notes(NOTES)
    notes = [Note("x", "t", label="b"), Note("y", "t", label="a")]
    caplog.clear()
    rules = [Prediction("x", label="b"), Prediction("y")]
    scores = task.evaluate(notes, rules)
    assert (scores.accuracy, scores.undecided, scores.auroc_ovr) == (0.5, 1, None)
    assert not caplog.text
    task.evaluate(notes, [rules[0], probable(task, "y", "a")])
    assert "1 of 2 predictions lack the score of some label" in caplog.text
    with pytest.raises(TaskError, match="none of the 2 predictions has a label"):
        task.evaluate(notes, [Prediction("x", spans=()), Prediction("y", spans=())])
    with pytest.raises(TaskError, match="neither the task's nor the notes'"):
        task.evaluate(notes, [Prediction("x", label="c"), Prediction("y", label="d")])


def test_what_can_be_watched_is_known_before_training():
    task = NoteClassification.from_notes(NOTES)
    both = [Note("x", "t", label="b"), Note("y", "t", label="a")]
    assert dev_metrics(task, both) == ("accuracy", "macro_f1", "weighted_f1", "mcc", "auroc_ovr")
    assert dev_metrics(task, both[:1]) == ("accuracy", "macro_f1", "weighted_f1", "mcc")
